import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { ApiProblem, ask, client, type Schemas } from "../api/client";
import { ago } from "../lib/words";
import { NO_RECEIPT, ReceiptFields, receiptBody } from "./consent-fields";
import { Confirm } from "./dialog";
import { Refusal } from "./notice";
import { ForWriters } from "./rights";

const STATES = { valid: "Valid", revoked: "Revoked", expired: "Expired" } as const;

function Revoke({ id, person }: { id: string; person: string }) {
  const queries = useQueryClient();
  const [isAsking, setAsking] = useState(false);
  const revoke = useMutation({
    mutationFn: () =>
      ask(client.DELETE("/v1/subjects/{subject_id}/consent", { params: { path: { subject_id: id } } })),
    onSuccess: () => void queries.invalidateQueries(),
  });
  return (
    <>
      <button type="button" className="quiet danger-text" onClick={() => setAsking(true)}>
        Revoke
      </button>
      <Refusal error={revoke.error} />
      {isAsking && (
        <Confirm
          title={`Revoke the consent of ${person}?`}
          action="Revoke the consent"
          onConfirm={() => revoke.mutate()}
          onClose={() => setAsking(false)}
        >
          <p>
            Trainings and edits of this subject stop, and nobody can use it any more. Then what the operator
            of this service has set is erased, by default the trainings.
          </p>
        </Confirm>
      )}
    </>
  );
}

function NewReceipt({ id }: { id: string }) {
  const queries = useQueryClient();
  const [receipt, setReceipt] = useState(NO_RECEIPT);
  const body = receiptBody(receipt);
  const give = useMutation({
    mutationFn: () =>
      ask(
        client.POST("/v1/subjects/{subject_id}/consent", {
          params: { path: { subject_id: id } },
          body: body ?? { person: "", purpose: "" },
        }),
      ),
    onSuccess: () => void queries.invalidateQueries(),
  });
  const problem = give.error instanceof ApiProblem ? give.error : null;
  return (
    <details>
      <summary>Record a new receipt</summary>
      <ReceiptFields receipt={receipt} onChange={setReceipt} problem={problem} />
      <Refusal error={give.error} />
      <button type="button" disabled={!body || give.isPending} onClick={() => give.mutate()}>
        Record it
      </button>
    </details>
  );
}

/** The newest receipt of a subject: what it says, whether it holds, and how to end or renew it. */
export function ConsentCard({ subject }: { subject: Schemas["SubjectBody"] }) {
  const consent = subject.consent;
  if (!consent && subject.category !== "person" && !subject.not_a_person) return null;
  return (
    <section className="card">
      <h2>Consent</h2>
      {!consent && subject.not_a_person && <p>It was stated that this is no person.</p>}
      {consent && (
        <dl className="facts">
          <dt>State</dt>
          <dd>
            {STATES[consent.state]}
            {consent.ended_at && `, ${ago(consent.ended_at)}`}
            {consent.state === "valid" && consent.until && ` until ${consent.until.slice(0, 10)}`}
          </dd>
          <dt>Who has agreed</dt>
          <dd>{consent.person}</dd>
          <dt>To what</dt>
          <dd>{consent.purpose}</dd>
          <dt>Evidence</dt>
          <dd>{consent.evidence ?? "none stated"}</dd>
        </dl>
      )}
      <ForWriters>
        {consent?.state === "valid" ? (
          <Revoke id={subject.id} person={consent.person} />
        ) : (
          <NewReceipt id={subject.id} />
        )}
      </ForWriters>
    </section>
  );
}
