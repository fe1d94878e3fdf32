import { type DragEvent, useId, useState } from "react";

const ACCEPTED = "image/jpeg,image/png,image/webp,image/heic,image/heif,image/avif";

/** A place to drop files, or to choose them by click, key or a phone's camera roll. */
export function DropZone({
  label,
  hint,
  multiple,
  accept = ACCEPTED,
  onFiles,
}: {
  label: string;
  hint: string;
  multiple: boolean;
  accept?: string;
  onFiles: (files: File[]) => void;
}) {
  const id = useId();
  const [isOver, setOver] = useState(false);
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    onFiles([...event.dataTransfer.files]);
  };
  return (
    <label
      htmlFor={id}
      className={`drop-zone ${isOver ? "is-over" : ""}`}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      <input
        id={id}
        type="file"
        accept={accept}
        multiple={multiple}
        onChange={(event) => {
          onFiles([...(event.target.files ?? [])]);
          event.target.value = "";
        }}
      />
      <strong>{label}</strong>
      <span className="hint">{hint}</span>
    </label>
  );
}
