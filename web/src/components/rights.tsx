import type { ReactNode } from "react";
import { useMay, useOwnKey } from "../api/own-key";
import { Notice } from "./notice";

/** Which project this is, where the person can always see it. */
export function KeyBadge() {
  const key = useOwnKey();
  if (!key) return null;
  return (
    <span className="key-badge" title={`Key: ${key.name}, ${key.scopes.join(" and ")}`}>
      {key.project.name}
      {key.scope === "read" && <span className="key-badge-scope">read only</span>}
    </span>
  );
}

/** Controls that change something: shown to a key that may, otherwise left out. */
export function ForWriters({ children }: { children: ReactNode }) {
  return useMay("write") ? children : null;
}

/** A screen that changes something. A key that only reads gets the reason. */
export function WritersOnly({ what, children }: { what: string; children: ReactNode }) {
  const key = useOwnKey();
  if (useMay("write")) return children;
  return (
    <Notice tone="info" title="Your key can only look">
      The key “{key?.name}” has the scope <code>read</code>. To {what}, sign in with a key that has the scope{" "}
      <code>write</code>. An owner creates one under Service, or with <code>lipe keys create</code>.
    </Notice>
  );
}
