import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { type OwnKey, readKey, useOwnKey } from "../api/own-key";
import { declineOffer, setKey } from "../api/session";
import { Notice, Refusal } from "../components/notice";
import { Mark } from "../components/shell";

/** Use the key of the link. What was read with another key is forgotten. */
function accept(key: string, hadKey: boolean): void {
  setKey(key);
  declineOffer();
  if (!hadKey) return;
  location.hash = "/subjects"; // the screen of now belongs to the former project
  location.reload();
}

function Facts({ found }: { found: OwnKey }) {
  return (
    <dl className="facts">
      <div>
        <dt>Project</dt>
        <dd>
          <strong>{found.project.name}</strong>
        </dd>
      </div>
      <div>
        <dt>Key</dt>
        <dd>{found.name}</dd>
      </div>
      <div>
        <dt>It may</dt>
        <dd>{found.scopes.join(", ")}</dd>
      </div>
    </dl>
  );
}

/** Asks before the key of a link is used: what a person does then goes into the project of that key. */
export function OfferedKey({ offered, hasKey }: { offered: string; hasKey: boolean }) {
  const heading = useRef<HTMLHeadingElement>(null);
  const found = useQuery({
    queryKey: ["offered-key", offered.split("_")[1]],
    queryFn: () => readKey(offered),
    retry: false,
  });
  const mine = useOwnKey();
  useEffect(() => heading.current?.focus(), []);
  const other = found.data?.project.name;
  return (
    <main className="sign-in">
      <section className="card" aria-labelledby="offered">
        <h1 id="offered" ref={heading} tabIndex={-1}>
          <Mark /> Open another project?
        </h1>
        <p>
          The link that you followed has an API key. Images and edits that you make with it belong to the
          project of that key, and everyone with a key of that project sees them.
        </p>
        {found.isPending && <p className="hint">Asking the service about the key ...</p>}
        {found.data && <Facts found={found.data} />}
        {hasKey && mine && (
          <p className="hint">
            You are in the project <strong>{mine.project.name}</strong> now.
          </p>
        )}
        {found.error && <Refusal error={found.error} />}
        {found.data && (
          <Notice tone="warning">Continue only if you trust the person who gave you the link.</Notice>
        )}
        <div className="actions">
          {found.data && (
            <button type="button" onClick={() => accept(offered, hasKey)}>
              Open {other}
            </button>
          )}
          <button type="button" className="primary" onClick={declineOffer}>
            {hasKey ? `Stay in ${mine?.project.name ?? "my project"}` : "Do not use it"}
          </button>
        </div>
      </section>
    </main>
  );
}
