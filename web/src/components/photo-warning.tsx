import { useQuery } from "@tanstack/react-query";
import { ask, client, type Subject } from "../api/client";
import type { BaseModel } from "../lib/base-model";
import { looksLikePhoto, PHOTO_SIDE } from "../lib/photo";
import { pixelsOf } from "../lib/pixels";
import { Notice } from "./notice";

async function isPhoto(imageId: string): Promise<boolean> {
  const { url } = await ask(client.GET("/v1/images/{image_id}", { params: { path: { image_id: imageId } } }));
  const pixels = await pixelsOf(url, PHOTO_SIDE, PHOTO_SIDE);
  return looksLikePhoto(pixels.data, PHOTO_SIDE);
}

/** Whether the base model is the miniature, and most references of the subject look like photos. */
export function useIsPhotoOnMiniature(subject: Subject, model: BaseModel | undefined): boolean {
  const ids = subject.references.map((reference) => reference.image_id);
  const isMiniature = model?.miniature ?? false;
  const photos = useQuery({
    queryKey: ["photos", ids],
    queryFn: async () => (await Promise.all(ids.map(isPhoto))).filter(Boolean).length,
    enabled: isMiniature,
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
  }).data;
  return isMiniature && photos !== undefined && photos * 2 > ids.length;
}

export function PhotoWarning() {
  return (
    <Notice tone="warning" title="These look like photos, and the base model is the miniature">
      The miniature knows only a drawn world: the training will run, but its results will not resemble the
      subject. Choose another base model, or start the service with an SDXL checkpoint:{" "}
      <code>lipe up --base-model stabilityai/stable-diffusion-xl-base-1.0</code>
    </Notice>
  );
}
