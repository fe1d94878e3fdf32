/**
 * The API key of this tab. It comes from the fragment of the address, which browsers send to no server, or from the
 * person who types it. It stays in the tab's session storage and is sent in the Authorization header alone.
 */
import { useSyncExternalStore } from "react";

const STORAGE = "lipe-api-key";
const FRAGMENT = /^#key=(lipe_\w+)$/;
const listeners = new Set<() => void>();

/** Take the key out of the address bar, before anything else runs. */
export function takeKeyFromAddress(): void {
  const found = FRAGMENT.exec(location.hash)?.[1];
  if (found) {
    sessionStorage.setItem(STORAGE, found);
    history.replaceState(null, "", `${location.pathname}${location.search}#/subjects`);
  }
}

export function currentKey(): string | null {
  return sessionStorage.getItem(STORAGE);
}

export function setKey(key: string | null): void {
  if (key === null) sessionStorage.removeItem(STORAGE);
  else sessionStorage.setItem(STORAGE, key);
  for (const listener of listeners) listener();
}

export function useKey(): string | null {
  return useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, currentKey);
}
