import type { ApiProblem } from "../api/client";
import { CheckField, TextField } from "./fields";

export interface Receipt {
  person: string;
  purpose: string;
  until: string;
  evidence: string;
}

export const NO_RECEIPT: Receipt = { person: "", purpose: "", until: "", evidence: "" };

/** The receipt as the contract has it; null if nothing was typed. */
export const receiptBody = ({ person, purpose, until, evidence }: Receipt) =>
  person.trim() || purpose.trim() || evidence.trim() || until
    ? {
        person: person.trim(),
        purpose: purpose.trim(),
        until: until ? new Date(`${until}T23:59:59`).toISOString() : null,
        evidence: evidence.trim() || null,
      }
    : null;

interface ReceiptFieldsProps {
  receipt: Receipt;
  onChange: (receipt: Receipt) => void;
  problem: ApiProblem | null;
  prefix?: string;
}

/** Who has agreed, to what, until when, and where the evidence is. */
export function ReceiptFields({ receipt, onChange, problem, prefix = "" }: ReceiptFieldsProps) {
  const field = (name: keyof Receipt) => ({
    value: receipt[name],
    error: problem?.about(`${prefix}${name}`),
    onChange: (event: { target: { value: string } }) => onChange({ ...receipt, [name]: event.target.value }),
  });
  return (
    <div className="columns">
      <TextField
        label="Who has agreed"
        hint="A name, or your own number for the person."
        maxLength={200}
        {...field("person")}
      />
      <TextField
        label="To what"
        hint="In the words that the person was asked with."
        maxLength={500}
        {...field("purpose")}
      />
      <TextField label="Until" type="date" hint="Empty: until the consent is revoked." {...field("until")} />
      <TextField
        label="Evidence"
        hint="Where you keep it. LIPE never opens it."
        maxLength={500}
        {...field("evidence")}
      />
    </div>
  );
}

interface ConsentFieldsProps extends ReceiptFieldsProps {
  notAPerson: boolean;
  onNotAPerson: (value: boolean) => void;
}

/** The receipt of a new subject, or the statement that it is no person. */
export function ConsentFields({ notAPerson, onNotAPerson, ...fields }: ConsentFieldsProps) {
  const { problem } = fields;
  // What follows the colon is for those who write the request themselves.
  const asked =
    problem?.document.code === "consent_required"
      ? `Fill in the receipt, or check this: ${problem.message.split(": give")[0]}.`
      : undefined;
  return (
    <fieldset className="consent">
      <legend>Consent</legend>
      <p className="hint">
        A person must have agreed. So must the person whose face a reference shows, unless it is not the
        subject.
      </p>
      {!notAPerson && <ReceiptFields {...fields} prefix="consent." />}
      <CheckField
        label="The subject is no person: a statue, a drawing, an animal or a thing."
        checked={notAPerson}
        onChange={(event) => onNotAPerson(event.target.checked)}
        error={asked ?? problem?.about("not_a_person")}
      />
    </fieldset>
  );
}
