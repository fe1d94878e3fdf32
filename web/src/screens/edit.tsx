import { useMutation } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { ApiProblem, ask, client } from "../api/client";
import { useEdit, useJob, usePriors, useSubject, useSubjects } from "../api/queries";
import { storeImage } from "../api/upload";
import { EditSettings } from "../components/edit-settings";
import { Empty } from "../components/empty";
import { Estimate } from "../components/estimate";
import { SelectField } from "../components/fields";
import { ImagePicker } from "../components/image-picker";
import { MaskSection, type MaskStart } from "../components/mask-section";
import { Notice, Refusal } from "../components/notice";
import { PromptChips } from "../components/prompt-chips";
import { SubjectSelect } from "../components/subject-select";
import { draftOf, type EditDraft, emptyDraft, requestFrom } from "../lib/edit-draft";
import { together } from "../lib/estimate";
import type { MaskDrawing } from "../lib/mask";
import { fileOfMask } from "../lib/mask-image";
import type { NewEdit } from "../lib/request";
import { go } from "../lib/router";
import { basePrompt, suggestions } from "../lib/suggestions";
import { variantsOf } from "../lib/variants";
import { ago } from "../lib/words";

/** The form, filled with the settings of an earlier edit if the address names one. */
export default function EditPage({ query }: { query: URLSearchParams }) {
  const earlier = useEdit(query.get("from"), true).data;
  const job = useJob(earlier?.job_id ?? null, true).data;
  if (!query.get("from")) return <EditForm initial={emptyDraft(query)} start={null} />;
  if (!earlier || !job) return <p className="hint">Loading ...</p>;
  const start: MaskStart =
    query.get("mask") === "found"
      ? { kind: "edit", id: earlier.id }
      : earlier.mask_image_id
        ? { kind: "image", id: earlier.mask_image_id }
        : null;
  return <EditForm initial={draftOf(earlier, job)} start={start} />;
}

function missing(draft: EditDraft, isReady: boolean, mask: MaskDrawing | null): string | null {
  if (!draft.subjectId) return "Choose a subject.";
  if (!isReady) return "The subject must be learned first.";
  if (!draft.imageId) return "Choose the image to edit.";
  if (mask?.isEmpty) return "Draw over what may change, or let LIPE find it.";
  return draft.prompts.length === 0 ? "Say what the image should show." : null;
}

const dryRun = (body: NewEdit) => ask(client.POST("/v1/edits/dry-run", { body }));

/** Start the edits. All are tried first, so that none starts if one is refused. Returns the ids of their jobs. */
async function start(requests: NewEdit[], mask: MaskDrawing | null): Promise<string[]> {
  const stored = mask ? await storeImage(await fileOfMask(mask)) : null;
  const bodies = stored ? requests.map((body) => ({ ...body, mask_image_id: stored.id })) : requests;
  if (bodies.length > 1) await Promise.all(bodies.map(dryRun));
  const jobs: string[] = [];
  for (const body of bodies) jobs.push((await ask(client.POST("/v1/edits", { body }))).id);
  return jobs;
}

function EditForm({ initial, start: maskStart }: { initial: EditDraft; start: MaskStart }) {
  const [draft, setDraft] = useState(initial);
  const [mask, setMask] = useState<{ drawing: MaskDrawing } | null>(null);
  const change = (part: Partial<EditDraft>) => setDraft((now) => ({ ...now, ...part }));
  const subjects = useSubjects();
  const known = subjects.data?.pages.flatMap((page) => page.data) ?? [];
  const subject = useSubject(draft.subjectId).data;
  const priors = usePriors(draft.subjectId);
  const ready = (priors.data ?? []).filter((prior) => prior.ready_at);
  const prior = ready.find(({ id }) => id === draft.priorId) ?? ready[0];
  const only = known.length === 1 ? known[0]?.id : undefined;
  useEffect(() => {
    if (only) setDraft((now) => (now.subjectId ? now : { ...now, subjectId: only }));
  }, [only]);

  const reason = missing(draft, ready.length > 0, mask?.drawing ?? null);
  const body = requestFrom(draft);
  const requests = variantsOf(body, draft.others);
  const edit = useMutation({
    mutationFn: () => start(requests, mask?.drawing ?? null),
    onSuccess: (jobs) => go(jobs.length > 1 ? `compare?jobs=${jobs.join(",")}` : `jobs/${jobs[0]}`),
  });
  const problem = edit.error instanceof ApiProblem ? edit.error : null;
  if (subjects.isSuccess && known.length === 0)
    return (
      <Empty title="There is no subject yet">
        <p>An edit changes a subject that LIPE has learned. Show it one first.</p>
        <div className="actions">
          <a className="button primary" href="#/subjects/new">
            New subject
          </a>
        </div>
      </Empty>
    );
  return (
    <>
      <h1>Edit an image</h1>
      <div className={`edit-layout ${mask ? "edit-layout-drawing" : ""}`}>
        <section className="card" aria-labelledby="image-head">
          <h2 id="image-head">Image</h2>
          <ImagePicker
            value={draft.imageId}
            subjectName={subject?.name ?? "the subject"}
            offersDrawn={subject?.metadata.studio === "drawn-bear"}
            onChange={(imageId) => {
              change({ imageId });
              if (imageId !== draft.imageId) setMask(null);
            }}
          >
            {draft.imageId && (
              <MaskSection
                key={draft.imageId}
                wanted={{ subjectId: draft.subjectId, priorId: draft.priorId, imageId: draft.imageId }}
                subject={subject}
                drawing={mask?.drawing ?? null}
                start={draft.imageId === initial.imageId ? maskStart : null}
                onDrawing={(drawing) => setMask(drawing && { drawing })}
              />
            )}
          </ImagePicker>
        </section>
        <section className="card" aria-labelledby="change-head">
          <h2 id="change-head">Change</h2>
          <div className="columns">
            <SubjectSelect
              value={draft.subjectId}
              onChange={(subjectId) => change({ subjectId, priorId: "", prompts: [] })}
              none="Choose ..."
            />
            {ready.length > 1 && (
              <SelectField
                label="Training"
                value={draft.priorId}
                onChange={(event) => change({ priorId: event.target.value })}
              >
                <option value="">The newest</option>
                {ready.map((prior) => (
                  <option key={prior.id} value={prior.id}>
                    {ago(prior.created_at)}
                  </option>
                ))}
              </SelectField>
            )}
          </div>
          {subject && priors.isSuccess && ready.length === 0 && (
            <Notice tone="info" title={`${subject.name} is not learned yet`}>
              <a href={`#/subjects/${subject.id}`}>Start its training</a>, or wait until it is done.
            </Notice>
          )}
          {subject && (
            <PromptChips
              prompts={draft.prompts}
              start={basePrompt(subject)}
              suggestions={suggestions(subject)}
              error={problem?.about("prompts") ?? problem?.about("prompt")}
              onChange={(prompts) => change({ prompts })}
            />
          )}
          <EditSettings draft={draft} fingerprint={prior?.base_model?.fingerprint} onChange={change} />
          <Refusal error={edit.error} />
          <div className="actions">
            <button
              type="button"
              className="primary"
              disabled={Boolean(reason) || edit.isPending}
              onClick={() => edit.mutate()}
            >
              {edit.isPending
                ? "Starting ..."
                : requests.length > 1
                  ? `Edit ${requests.length} times`
                  : "Edit"}
            </button>
            {reason ? (
              <span className="hint" role="status">
                {reason}
              </span>
            ) : (
              <Estimate
                name="edit"
                body={JSON.stringify(requests)}
                dryRun={async (text) =>
                  together(await Promise.all((JSON.parse(text) as NewEdit[]).map(dryRun)))
                }
              />
            )}
          </div>
        </section>
      </div>
    </>
  );
}
