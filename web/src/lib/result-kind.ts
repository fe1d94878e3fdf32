/** The kinds of result that a form offers, and the fields of a request that ask for them. */
import type { Schemas } from "../api/client";

type Fields = Pick<Schemas["NewEdit"], "result_kind" | "visible_label">;

/** Empty: the project's default. */
export type ResultKind = "" | "archival" | "published" | "labelled";

const FIELDS: Record<ResultKind, Fields> = {
  "": {},
  archival: { result_kind: "archival" },
  published: { result_kind: "published", visible_label: false },
  labelled: { result_kind: "published", visible_label: true },
};

export function fieldsOf(kind: ResultKind): Fields {
  return FIELDS[kind];
}

/** The kind that a request asked for. */
export function kindOf(request: Fields): ResultKind {
  return request.visible_label ? "labelled" : (request.result_kind ?? "");
}
