import { type ComponentProps, useId, useState } from "react";
import { type Folders, readFolders } from "../lib/folders";
import { SubjectSelect } from "./subject-select";

/** Images of this computer, and the subject of the project that they show, with which they are erased. */
export function FolderChoice({
  folders,
  onChange,
  subjectId,
  onSubject,
}: {
  folders: Folders<File> | null;
  onChange: (f: Folders<File> | null) => void;
  subjectId: string;
  onSubject: (id: string) => void;
}) {
  const [error, setError] = useState("");
  const id = useId();
  const read = (files: File[]) => {
    try {
      onChange(readFolders(files));
      setError("");
    } catch (failure) {
      onChange(null);
      setError((failure as Error).message);
    }
  };
  // React knows no attribute for a choice of folders.
  const folderInput = { webkitdirectory: "" } as ComponentProps<"input">;
  return (
    <>
      <div className="field">
        <label htmlFor={id}>Folder</label>
        <input
          id={id}
          type="file"
          multiple
          {...folderInput}
          aria-describedby={`${id}-hint`}
          aria-invalid={Boolean(error)}
          onChange={(event) => read([...(event.target.files ?? [])])}
        />
        <p className="hint" id={`${id}-hint`}>
          It has a folder for each system. Files of the same name are compared, and the name is the prompt:{" "}
          <code>a_dog_jumping.png</code>. The folder <code>source</code> has the images before the edit, and{" "}
          <code>references</code> up to five images of the subject; both may be missing.
        </p>
        {error && <p className="field-error">{error}</p>}
        {folders && (
          <p role="status">
            {folders.items.length} {folders.items.length === 1 ? "case" : "cases"} of{" "}
            {folders.systems.join(", ")}, with {folders.references.length} references.
            {folders.leftOut.length > 0 &&
              ` Without a counterpart, and left out: ${folders.leftOut.join(", ")}.`}
          </p>
        )}
      </div>
      <SubjectSelect
        value={subjectId}
        onChange={onSubject}
        none="None of this project"
        hint="Whom the images show: they are erased with this subject."
      />
    </>
  );
}
