import type { Upload } from "../api/upload";
import { doubts } from "../api/upload";

interface UploadListProps {
  uploads: Upload[];
  nativeSize: number | undefined;
  captions: Record<string, string>;
  onCaption: (id: string, caption: string) => void;
  onRemove: (id: string) => void;
}

/** The dropped images, each with its state and with what is wrong with it. */
export function UploadList({ uploads, nativeSize, captions, onCaption, onRemove }: UploadListProps) {
  return (
    <ul className="uploads">
      {uploads.map((upload) => {
        const problems = doubts(upload, uploads, nativeSize);
        const state = upload.error
          ? "refused"
          : !upload.image
            ? "sending"
            : problems.length
              ? "doubtful"
              : "good";
        return (
          <li key={upload.id} className={`upload upload-${state}`}>
            <img src={upload.preview} alt={upload.name} />
            <div className="upload-words">
              <p className="upload-name">{upload.name}</p>
              {state === "sending" && <p className="hint">Sending ...</p>}
              {state === "good" && (
                <p className="good">
                  Good: {upload.image?.width} × {upload.image?.height} pixels
                </p>
              )}
              {upload.error && (
                <p className="field-error" role="alert">
                  {upload.error.message}
                </p>
              )}
              {problems.map((problem) => (
                <p key={problem} className="doubt">
                  {problem}
                </p>
              ))}
              {upload.image && (
                <input
                  aria-label={`Caption of ${upload.name}`}
                  placeholder="Caption (written by the service if empty)"
                  value={captions[upload.id] ?? ""}
                  onChange={(event) => onCaption(upload.id, event.target.value)}
                />
              )}
            </div>
            <button
              type="button"
              className="quiet icon"
              aria-label={`Remove ${upload.name}`}
              onClick={() => onRemove(upload.id)}
            >
              ×
            </button>
          </li>
        );
      })}
    </ul>
  );
}
