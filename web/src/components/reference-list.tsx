import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { ask, client, type Subject } from "../api/client";
import { Refusal } from "./notice";
import { Picture } from "./picture";

type Reference = Subject["references"][number];

function ReferenceCard({
  subject,
  reference,
  learned,
}: {
  subject: Subject;
  reference: Reference;
  learned: string | undefined;
}) {
  const queries = useQueryClient();
  const [caption, setCaption] = useState(reference.caption ?? "");
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
  const isChanged = caption.trim() !== (reference.caption ?? "");
  return (
    <li className="reference">
      <Picture id={reference.image_id} alt={reference.caption ?? learned ?? `Reference of ${subject.name}`} />
      <textarea
        rows={3}
        aria-label="Caption"
        value={caption}
        placeholder={learned ?? "The service writes the caption during training"}
        onChange={(event) => setCaption(event.target.value)}
      />
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
  return (
    <ul className="references">
      {subject.references.map((reference) => (
        <ReferenceCard
          key={reference.image_id}
          subject={subject}
          reference={reference}
          learned={learned[reference.image_id]}
        />
      ))}
    </ul>
  );
}
