import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { ask, client, type Subject } from "../api/client";
import { useMay } from "../api/own-key";
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
}: {
  subject: Subject;
  reference: Reference;
  learned: string | undefined;
  written: ImageCaption | undefined;
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
  const isChanged = caption.trim() !== (reference.caption ?? "");
  return (
    <li className="reference">
      <Picture id={reference.image_id} alt={`Reference of ${subject.name}`} />
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

/** The references with their captions. `learned`: those of the newest training, by image id. */
export function ReferenceList({ subject, learned }: { subject: Subject; learned: Record<string, string> }) {
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
          />
        ))}
      </ul>
    </>
  );
}
