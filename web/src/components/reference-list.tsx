import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { ask, client, type Subject } from "../api/client";
import { useMay } from "../api/own-key";
import { isActive } from "../api/queries";
import { referenceDoubts } from "../lib/cut-off";
import { useFoundMask } from "./found-mask";
import { Refusal } from "./notice";
import { Picture } from "./picture";
import { ForWriters } from "./rights";
import { type ImageCaption, useWrittenCaptions } from "./write-captions";

type Reference = Subject["references"][number];

function ReferenceCard({
  subject,
  reference,
  learned,
  written,
  isChecked,
}: {
  subject: Subject;
  reference: Reference;
  learned: string | undefined;
  written: ImageCaption | undefined;
  isChecked: boolean;
}) {
  const queries = useQueryClient();
  const [caption, setCaption] = useState(reference.caption ?? "");
  const doubtful = (written?.phrases ?? []).filter((phrase) => phrase.is_doubtful);
  const save = useMutation({
    mutationFn: () =>
      ask(
        client.PATCH("/v1/subjects/{subject_id}", {
          params: { path: { subject_id: subject.id } },
          body: { captions: { [reference.image_id]: caption.trim() || null } },
        }),
      ),
    onSuccess: (changed) => queries.setQueryData(["subject", subject.id], changed),
  });
  const mayWrite = useMay("write");
  const wanted = { subjectId: subject.id, priorId: "", imageId: reference.image_id };
  const { job, mask } = useFoundMask(wanted, undefined, isChecked && mayWrite);
  const doubts = mask ? referenceDoubts(mask, subject) : [];
  const isChanged = caption.trim() !== (reference.caption ?? "");
  return (
    <li className="reference">
      <Picture id={reference.image_id} alt={`Reference of ${subject.name}`} />
      {isActive(job) && (
        <p className="hint" role="status">
          Looking for the {subject.class_noun} ...
        </p>
      )}
      {doubts.map((doubt) => (
        <p key={doubt} className="doubt">
          {doubt}
        </p>
      ))}
      <textarea
        rows={3}
        aria-label="Caption"
        value={caption}
        readOnly={!mayWrite}
        placeholder={learned ?? "The service writes the caption during training"}
        onChange={(event) => setCaption(event.target.value)}
      />
      {doubtful.length > 0 && (
        <p className="hint">Look at the image: {doubtful.map((phrase) => phrase.text).join(" · ")}</p>
      )}
      {isChanged && (
        <button type="button" disabled={save.isPending} onClick={() => save.mutate()}>
          Save the caption
        </button>
      )}
      <Refusal error={save.error} />
    </li>
  );
}

interface ReferenceListProps {
  subject: Subject;
  learned: Record<string, string>;
  isLearned: boolean;
}

/** The references with their captions. `learned`: those of the newest training, by image id. A worker looks for the
 * subject in each before the first training: an image that cuts it off can still be replaced. */
export function ReferenceList({ subject, learned, isLearned }: ReferenceListProps) {
  const { written, controls } = useWrittenCaptions(subject);
  return (
    <>
      <ForWriters>{controls}</ForWriters>
      <ul className="references">
        {subject.references.map((reference) => (
          <ReferenceCard
            key={`${reference.image_id} ${reference.caption ?? ""}`}
            subject={subject}
            reference={reference}
            learned={learned[reference.image_id]}
            written={written.get(reference.image_id)}
            isChecked={!isLearned}
          />
        ))}
      </ul>
    </>
  );
}
