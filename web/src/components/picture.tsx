import { useQueryClient } from "@tanstack/react-query";
import { useImage } from "../api/queries";

/** A stored image by its id. A signed URL that has expired is asked for again. */
export function Picture({ id, alt, className = "" }: { id: string; alt: string; className?: string }) {
  const queries = useQueryClient();
  const image = useImage(id);
  if (image.isError) return <div className={`picture missing ${className}`}>The image was deleted</div>;
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
