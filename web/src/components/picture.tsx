import { useQueryClient } from "@tanstack/react-query";
import { isTemporary } from "../api/client";
import { useImage } from "../api/queries";

/** Why an image of the service is not shown. */
export const whyMissing = (error: Error): string =>
  isTemporary(error) ? "The image does not load now" : "The image was deleted";

/** A stored image by its id. A signed URL that has expired is asked for again. */
export function Picture({ id, alt, className = "" }: { id: string; alt: string; className?: string }) {
  const queries = useQueryClient();
  const image = useImage(id);
  if (image.isError) return <div className={`picture missing ${className}`}>{whyMissing(image.error)}</div>;
  if (!image.data) return <div className={`picture loading ${className}`} />;
  const renew = () => void queries.invalidateQueries({ queryKey: ["image", id] });
  return (
    <img
      className={`picture ${className}`}
      src={image.data.url}
      alt={alt}
      width={image.data.width}
      height={image.data.height}
      loading="lazy"
      onError={renew}
    />
  );
}
