import { useQuery } from "@tanstack/react-query";
import { ask, client, type Subject } from "../api/client";
import { useModels } from "../api/queries";
import { looksLikePhoto, PHOTO_SIDE } from "../lib/photo";
import { pixelsOf } from "../lib/pixels";
import { Notice } from "./notice";

async function isPhoto(imageId: string): Promise<boolean> {
  const { url } = await ask(client.GET("/v1/images/{image_id}", { params: { path: { image_id: imageId } } }));
  const pixels = await pixelsOf(url, PHOTO_SIDE, PHOTO_SIDE);
  return looksLikePhoto(pixels.data, PHOTO_SIDE);
}

/** Whether the service has the miniature alone, and most references of the subject look like photos. */
export function useIsPhotoOnMiniature(subject: Subject): boolean {
  const models = useModels().data ?? [];
  const ids = subject.references.map((reference) => reference.image_id);
  const isMiniature = models.length > 0 && models.every((model) => model.miniature);
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
    <Notice tone="warning" title="These look like photos, and this service runs the miniature">
      The miniature knows only a drawn world: the training will run, but its results will not resemble the
      subject. Start the service with an SDXL checkpoint first:{" "}
      <code>lipe up --base-model stabilityai/stable-diffusion-xl-base-1.0</code>
    </Notice>
  );
}
