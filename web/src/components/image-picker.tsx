import { useMutation, useQueryClient } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { useImages, useNewestEdits } from "../api/queries";
import { storeImage } from "../api/upload";
import { drawnSource } from "../lib/drawn";
import { DropZone } from "./drop-zone";
import { Refusal } from "./notice";
import { Picture } from "./picture";

interface ImagePickerProps {
  value: string | null;
  subjectName: string;
  offersDrawn: boolean;
  /** The chosen image, with what belongs to it. */
  children?: ReactNode;
  onChange: (id: string) => void;
}

/** The image to edit: a new file, or one that the service has already. */
export function ImagePicker({ value, subjectName, offersDrawn, children, onChange }: ImagePickerProps) {
  const queries = useQueryClient();
  const images = useImages();
  const upload = useMutation({
    mutationFn: storeImage,
    onSuccess: (image) => {
      onChange(image.id);
      void queries.invalidateQueries({ queryKey: ["images"] });
    },
  });
  const masks = useNewestEdits((edits) => new Set(edits.map((edit) => edit.mask_image_id))).data;
  const stored = images.data?.pages.flatMap((page) => page.data).filter(({ id }) => !masks?.has(id)) ?? [];
  return (
    <div className="picker">
      {children}
      <DropZone
        label={
          upload.isPending
            ? "Sending ..."
            : value
              ? "Take another image"
              : `Drop an image of ${subjectName}, or choose it`
        }
        hint="Best is one that is not among the references"
        multiple={false}
        onFiles={([file]) => file && upload.mutate(file)}
      />
      {offersDrawn && (
        <button type="button" onClick={() => void drawnSource().then((file) => upload.mutate(file))}>
          Take the drawn test image
        </button>
      )}
      <Refusal error={upload.error} />
      {stored.length > 0 && (
        <details open={value === null}>
          <summary>Images that are here already</summary>
          <ul className="thumbnails">
            {stored.map((image, k) => (
              <li key={image.id}>
                <button
                  type="button"
                  aria-pressed={image.id === value}
                  aria-label={`Take stored image ${k + 1}`}
                  onClick={() => onChange(image.id)}
                >
                  <Picture id={image.id} alt="" />
                </button>
              </li>
            ))}
          </ul>
          {images.hasNextPage && (
            <button type="button" className="quiet" onClick={() => void images.fetchNextPage()}>
              Show more
            </button>
          )}
        </details>
      )}
    </div>
  );
}
