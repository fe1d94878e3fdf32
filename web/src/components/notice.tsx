import type { ReactNode } from "react";
import { ApiProblem } from "../api/client";

type Tone = "error" | "warning" | "info";

export function Notice({ tone, title, children }: { tone: Tone; title?: string; children: ReactNode }) {
  return (
    <div className={`notice notice-${tone}`} role={tone === "error" ? "alert" : "status"}>
      {title && <strong>{title}</strong>}
      <div>{children}</div>
    </div>
  );
}

/** A refusal or a lost connection in words: what is wrong, and what to do. */
export function Refusal({ error }: { error: Error | null | undefined }) {
  if (!error) return null;
  if (!(error instanceof ApiProblem)) return <Notice tone="error">{error.message}</Notice>;
  const { title, detail, errors = [] } = error.document;
  return (
    <Notice tone="error" title={title}>
      {errors.length > 1 ? (
        <ul>
          {errors.map((one) => (
            <li key={one.param}>
              <code>{one.param}</code>: {one.detail}
            </li>
          ))}
        </ul>
      ) : (
        detail
      )}
    </Notice>
  );
}
