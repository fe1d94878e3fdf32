/** Uploads of images, each with what is wrong with it. */
import { useEffect, useRef, useState } from "react";
import { distance, fingerprint } from "../lib/likeness";
import { BASE, ConnectionLost, problemOf, type Schemas } from "./client";
import { currentKey } from "./session";

type StoredImage = Schemas["ImageBody"];

export interface Upload {
  id: string;
  name: string;
  preview: string;
  image: StoredImage | null;
  error: Error | null;
  hash: bigint | null;
}

const AT_ONCE = 3;
const NEARLY_THE_SAME = 5; // of 64 bits

export async function storeImage(file: Blob): Promise<StoredImage> {
  const headers = {
    Authorization: `Bearer ${currentKey()}`,
    "Content-Type": "application/octet-stream",
    "Idempotency-Key": `${Date.now()}-${Math.random()}`,
  };
  const answer = await fetch(`${BASE}/v1/images`, { method: "POST", headers, body: file }).catch(() => {
    throw new ConnectionLost();
  });
  if (!answer.ok) throw await problemOf(answer);
  return (await answer.json()) as StoredImage;
}

/** What is wrong with an upload that the service accepted, in words. */
export function doubts(upload: Upload, all: Upload[], nativeSize: number | undefined): string[] {
  const found: string[] = [];
  const earlier = all.slice(0, all.indexOf(upload));
  if (earlier.some((other) => other.image?.sha256 === upload.image?.sha256 && other.image))
    found.push("The same image is here already. Another pose or view teaches more.");
  else if (
    earlier.some(
      (other) =>
        other.hash !== null && upload.hash !== null && distance(other.hash, upload.hash) <= NEARLY_THE_SAME,
    )
  )
    found.push("It is nearly the same as another one. Another pose or view teaches more.");
  const { width = 0, height = 0 } = upload.image ?? {};
  if (upload.image && nativeSize && Math.min(width, height) < nativeSize)
    found.push(
      `It is small: ${width} × ${height} pixels. The base model works with ${nativeSize} × ${nativeSize}, so details may blur.`,
    );
  if ((upload.image?.faces ?? 0) > 1)
    found.push("It shows several faces. An image of the subject alone teaches more.");
  return found;
}

export function useUploads(max: number) {
  const [uploads, setUploads] = useState<Upload[]>([]);
  const [leftOut, setLeftOut] = useState(0);
  const waiting = useRef<{ id: string; file: Blob }[]>([]);
  const running = useRef(0);
  const previews = useRef<string[]>([]);
  useEffect(
    () => () => {
      for (const url of previews.current) URL.revokeObjectURL(url);
    },
    [],
  );

  const change = (id: string, part: Partial<Upload>) =>
    setUploads((now) => now.map((upload) => (upload.id === id ? { ...upload, ...part } : upload)));

  const work = async (): Promise<void> => {
    const next = waiting.current.shift();
    if (!next) return;
    running.current += 1;
    void fingerprint(next.file).then((hash) => change(next.id, { hash }));
    try {
      change(next.id, { image: await storeImage(next.file) });
    } catch (error) {
      change(next.id, { error: error as Error });
    }
    running.current -= 1;
    await work();
  };

  const add = (files: File[]) => {
    const taken = files.slice(0, Math.max(0, max - uploads.length));
    setLeftOut(files.length - taken.length);
    const fresh = taken.map((file) => ({
      id: `${Date.now()}-${Math.random()}`,
      file,
      preview: URL.createObjectURL(file),
    }));
    previews.current.push(...fresh.map((one) => one.preview));
    setUploads((now) => [
      ...now,
      ...fresh.map(({ id, file, preview }) => ({
        id,
        name: file.name,
        preview,
        image: null,
        error: null,
        hash: null,
      })),
    ]);
    waiting.current.push(...fresh);
    for (let free = AT_ONCE - running.current; free > 0; free -= 1) void work();
  };
  const remove = (id: string) => {
    waiting.current = waiting.current.filter((one) => one.id !== id);
    setUploads((now) => now.filter((upload) => upload.id !== id));
  };
  return { uploads, leftOut, add, remove, isBusy: uploads.some((one) => !one.image && !one.error) };
}
