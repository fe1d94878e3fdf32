import { useMutation } from "@tanstack/react-query";
import { BASE, ConnectionLost, problemOf, type Schemas } from "../api/client";
import { currentKey } from "../api/session";
import { DropZone } from "./drop-zone";
import { Notice, Refusal } from "./notice";

type Verification = Schemas["VerificationBody"];

const MEANINGS = {
  valid: ["Valid", "info", "A trusted signer made these claims, and the file is unchanged."],
  untrusted: [
    "Unknown signer",
    "warning",
    "The file is unchanged, but anyone may have written these claims.",
  ],
  broken: ["Broken", "error", "The file or its claims were changed after the signature."],
  absent: ["No credentials", "warning", "The file says nothing of itself. That proves nothing."],
} as const;

async function verify(file: File): Promise<Verification> {
  const headers = { Authorization: `Bearer ${currentKey()}`, "Content-Type": "application/octet-stream" };
  const answer = await fetch(`${BASE}/v1/verify`, { method: "POST", headers, body: file }).catch(() => {
    throw new ConnectionLost();
  });
  if (!answer.ok) throw await problemOf(answer);
  return answer.json();
}

function Facts({ found }: { found: Verification }) {
  const facts: [string, string | null | undefined][] = [
    ["Made by this service", found.made_here ? "yes" : "no"],
    ["Edit", found.edit_id],
    [
      "Signer",
      found.signer && [found.signer.organization, found.signer.common_name].filter(Boolean).join(", "),
    ],
    ["Software", found.software],
    ["Watermark", found.watermark === null ? null : found.watermark ? "found" : "not found"],
    ["Edit by the watermark", found.watermark_edit_id],
    ["Failed checks", found.failures.join(", ")],
  ];
  return (
    <ul className="rows">
      {facts
        .filter(([, value]) => value)
        .map(([name, value]) => (
          <li key={name} className="row">
            <strong>{name}</strong>
            <span className="row-main">{value}</span>
          </li>
        ))}
      {found.actions.map((action, place) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the actions of one file have no ids and do not change.
        <li key={place} className="row">
          <strong>Action</strong>
          <span className="row-main">
            {action.action} {action.digital_source_type?.split("/").pop()}
            {action.regions.map((box) => ` · ${box.width} × ${box.height} pixels at ${box.left}, ${box.top}`)}
          </span>
        </li>
      ))}
    </ul>
  );
}

/** A file in, its claims about itself out. The service does not keep the file. */
export function Verify() {
  const check = useMutation({ mutationFn: verify });
  const [title, tone, text] = check.data ? MEANINGS[check.data.credentials] : [];
  return (
    <section className="card">
      <h2>Check an image</h2>
      <DropZone
        label={check.isPending ? "Checking ..." : "Choose an image to check"}
        hint="Its Content Credentials say how it was made. The file is not stored."
        multiple={false}
        onFiles={([file]) => file && check.mutate(file)}
      />
      <Refusal error={check.error} />
      {check.data && tone && (
        <>
          <Notice tone={tone} title={`${check.variables?.name}: ${title}`}>
            {text}
          </Notice>
          {check.data.credentials !== "absent" && <Facts found={check.data} />}
        </>
      )}
    </section>
  );
}
