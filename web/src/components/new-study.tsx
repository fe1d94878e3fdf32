import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import type { Schemas } from "../api/client";
import { useEdit, useJob, useNewestEdits } from "../api/queries";
import { candidatesOf, systemOf } from "../api/study-file";
import { itemsOf, type Mode, QUESTIONS, type Study } from "../lib/study";
import { storeStudy } from "../lib/study-store";
import { ago } from "../lib/words";
import { Empty } from "./empty";
import { Choice, TextField } from "./fields";
import { Refusal } from "./notice";

const MODES = [
  { value: "ab", text: "Two beside each other" },
  { value: "keep", text: "One at a time" },
] as const;

const PAGE = 24;
type EditBody = Schemas["EditBody"];

function EditChoice({
  edit,
  isChosen,
  onToggle,
}: {
  edit: EditBody;
  isChosen: boolean;
  onToggle: () => void;
}) {
  const whole = useEdit(edit.id, true).data;
  const job = useJob(whole?.job_id ?? null, true).data;
  const first = whole?.results[0];
  if (!first || !job) return null;
  return (
    <li>
      <label className="edit-choice">
        <input type="checkbox" checked={isChosen} onChange={onToggle} />
        <img className="picture" src={first.image.url} alt="" loading="lazy" />
        <span className="edit-choice-words">
          {edit.target_prompts.join(" · ")}
          <span className="hint">
            {systemOf(whole, job)} · seed {first.seed ?? "none"} · {ago(edit.created_at)}
            {whole.results.length > 1 ? ` · ${whole.results.length} results` : ""}
          </span>
        </span>
      </label>
    </li>
  );
}

async function makeStudy(name: string, mode: Mode, asks: string, editIds: string[]): Promise<Study> {
  const items = itemsOf(await candidatesOf(editIds), mode);
  if (items.length === 0)
    throw new Error(
      "Nothing to compare: choose edits of the same image with the same prompts and seeds, and with different methods or presets. “Compare with other presets or methods” under Edit makes them.",
    );
  const id = `study_${(crypto.randomUUID?.() ?? `${Date.now()}${Math.random()}`).replace(/\W/g, "").slice(0, 20)}`;
  const study: Study = { id, name, mode, asks, createdAt: new Date().toISOString(), items };
  storeStudy(study);
  return study;
}

/** Choose finished edits, and what to ask about their results. */
export function NewStudy({ onMade }: { onMade: (study: Study) => void }) {
  const edits = useNewestEdits((all) => all).data;
  const [limit, setLimit] = useState(PAGE);
  const [chosen, setChosen] = useState<string[]>([]);
  const [name, setName] = useState("");
  const [mode, setMode] = useState<Mode>("ab");
  const [asks, setAsks] = useState<string | null>(null);
  const make = useMutation({
    mutationFn: () =>
      makeStudy(name.trim(), mode, (asks ?? QUESTIONS[mode]).trim() || QUESTIONS[mode], chosen),
    onSuccess: onMade,
  });
  const toggle = (id: string) =>
    setChosen((now) => (now.includes(id) ? now.filter((one) => one !== id) : [...now, id]));
  if (edits?.length === 0)
    return (
      <Empty title="There is nothing to judge yet">
        <p>A study asks people about the results of edits. Make some edits first.</p>
      </Empty>
    );
  const reason = !name.trim() ? "Give the study a name." : chosen.length === 0 ? "Choose edits." : null;
  return (
    <section className="card" aria-labelledby="new-study">
      <h2 id="new-study">New study</h2>
      <div className="columns">
        <TextField
          label="Name"
          value={name}
          maxLength={80}
          onChange={(event) => setName(event.target.value)}
        />
        <TextField
          label="Question"
          value={asks ?? QUESTIONS[mode]}
          maxLength={160}
          onChange={(event) => setAsks(event.target.value)}
        />
      </div>
      <Choice
        label="What a rater sees"
        value={mode}
        options={MODES}
        onChange={setMode}
        hint={
          mode === "ab"
            ? "Two results of the same image, prompt and seed, from different methods or presets."
            : "Each result alone, answered by yes or no."
        }
      />
      <fieldset>
        <legend>Edits</legend>
        <ul className="edit-choices">
          {edits?.slice(0, limit).map((edit) => (
            <EditChoice
              key={edit.id}
              edit={edit}
              isChosen={chosen.includes(edit.id)}
              onToggle={() => toggle(edit.id)}
            />
          ))}
        </ul>
        {edits && edits.length > limit && (
          <button type="button" className="quiet" onClick={() => setLimit(limit + PAGE)}>
            Show more
          </button>
        )}
      </fieldset>
      <Refusal error={make.error} />
      <div className="actions">
        <button
          type="button"
          className="primary"
          disabled={reason !== null || make.isPending}
          onClick={() => make.mutate()}
        >
          {make.isPending ? "Reading the edits ..." : "Make the study"}
        </button>
        <span className="hint" role="status">
          {reason ?? `${chosen.length} chosen`}
        </span>
      </div>
    </section>
  );
}
