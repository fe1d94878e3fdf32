/** Links with an API key in their fragment: what they contain, and whether the page may use it without a question. */
const FRAGMENT = /^#key=(lipe_[0-9A-Za-z]+_[0-9A-Za-z]+)$/;
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

export const keyOfFragment = (hash: string): string | null => FRAGMENT.exec(hash)?.[1] ?? null;

/** The public part of a key: `lipe_<id>_<secret>`. */
export const keyId = (key: string): string => key.split("_")[1] ?? "";

export const isLoopback = (host: string): boolean => LOOPBACK.test(host);

interface Browser {
  inUse: string | null;
  known: string[];
  isLocal: boolean;
}

/** Whether a person must agree before the key of a link is used. */
export function needsQuestion(key: string, { inUse, known, isLocal }: Browser): boolean {
  if (inUse !== null) return inUse !== key;
  if (known.includes(keyId(key))) return false;
  return !isLocal || known.length > 0;
}
