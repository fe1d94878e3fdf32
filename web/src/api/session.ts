/**
 * The API key of this tab. It comes from the fragment of the address, which browsers send to no server, or from the
 * person who types it. It stays in the tab's session storage and is sent in the Authorization header alone.
 *
 * A link can have anybody's key: who follows it would store own images in a stranger's project. So a key of an address
 * waits as `offered` until the person agrees, unless this browser has used it before, or it is the first one on a page
 * of this machine, as `lipe up` opens it.
 */
import { useSyncExternalStore } from "react";
import { isLoopback, keyId, keyOfFragment, needsQuestion } from "../lib/key-link";

const STORAGE = "lipe-api-key";
const KNOWN = "lipe-known-keys";
const MAX_KNOWN = 50;
const listeners = new Set<() => void>();
let offered: string | null = null;

const notify = () => {
  for (const listener of listeners) listener();
};

/** The ids of the keys that this browser has used. An id opens nothing. */
function knownIds(): string[] {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(KNOWN) ?? "[]");
    return Array.isArray(stored) ? stored.filter((id) => typeof id === "string") : [];
  } catch {
    return [];
  }
}

/** Take the key out of the address bar: before anything else runs, and when a link arrives on the screen `place`. */
export function takeKeyFromAddress(place = "#/subjects"): void {
  if (!location.hash.startsWith("#key=")) return;
  const found = keyOfFragment(location.hash);
  history.replaceState(null, "", `${location.pathname}${location.search}${place}`);
  if (!found || found === currentKey()) return;
  const known = knownIds();
  if (needsQuestion(found, { inUse: currentKey(), known, isLocal: isLoopback(location.hostname) })) {
    offered = found;
    notify();
  } else setKey(found);
}

export function currentKey(): string | null {
  return sessionStorage.getItem(STORAGE);
}

export function setKey(key: string | null): void {
  if (key === null) sessionStorage.removeItem(STORAGE);
  else {
    sessionStorage.setItem(STORAGE, key);
    const others = knownIds().filter((id) => id !== keyId(key));
    localStorage.setItem(KNOWN, JSON.stringify([...others, keyId(key)].slice(-MAX_KNOWN)));
  }
  notify();
}

/** Forget the key of the link. */
export function declineOffer(): void {
  offered = null;
  notify();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export const useKey = (): string | null => useSyncExternalStore(subscribe, currentKey);

/** The key of a link that the person has not agreed to yet. */
export const useOfferedKey = (): string | null => useSyncExternalStore(subscribe, () => offered);
