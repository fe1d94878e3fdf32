/** Pages by the fragment of the address: `#/subjects/sub_1?tab=x`. They need no routes of the server. */
import { useSyncExternalStore } from "react";

export interface Place {
  path: string[];
  query: URLSearchParams;
}

export function parsePlace(hash: string): Place {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?");
  return { path: path.split("/").filter(Boolean), query: new URLSearchParams(query) };
}

function subscribe(listener: () => void): () => void {
  addEventListener("hashchange", listener);
  return () => removeEventListener("hashchange", listener);
}

export const usePlace = (): Place => parsePlace(useSyncExternalStore(subscribe, () => location.hash));

export function go(to: string): void {
  location.hash = `/${to}`;
}
