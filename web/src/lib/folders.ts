/**
 * The images of a study in one folder: a folder for each system, where files of the same name belong together. The
 * folder `source` has the images before the edit, and `references` has images of the subject.
 */
export interface FolderItem<T> {
  name: string;
  prompt: string;
  results: Map<string, T>;
  source: T | null;
}
export interface Folders<T> {
  systems: string[];
  items: FolderItem<T>[];
  references: T[];
  /** Files that have no counterpart in another system. */
  leftOut: string[];
}

interface Named {
  name: string;
  webkitRelativePath: string;
}

const IMAGE = /\.(jpe?g|png|webp|heic|heif|avif)$/i;
const MAX_REFERENCES = 5;
const stem = (name: string): string => name.replace(/\.[^.]+$/, "").toLowerCase();
const byName = (one: Named, other: Named) => (one.name < other.name ? -1 : 1);

/** The prompt that a file name spells: `a_dog-jumping.png` is "a dog jumping". */
const promptOf = (name: string): string =>
  name
    .replace(/\.[^.]+$/, "")
    .replace(/[-_]+/g, " ")
    .trim();

/** Throws an Error that says how the folder must be. */
export function readFolders<T extends Named>(files: T[]): Folders<T> {
  const folders = new Map<string, T[]>();
  for (const file of files.filter(({ name }) => IMAGE.test(name) && !name.startsWith(".")).sort(byName)) {
    const folder = file.webkitRelativePath.split("/").at(-2) ?? "";
    folders.set(folder, [...(folders.get(folder) ?? []), file]);
  }
  const sources = new Map((folders.get("source") ?? []).map((file) => [stem(file.name), file]));
  const references = (folders.get("references") ?? []).slice(0, MAX_REFERENCES);
  const systems = [...folders.keys()].filter((name) => name !== "source" && name !== "references").sort();
  if (systems.length < 2)
    throw new Error(
      "Choose a folder that has a folder with images for each system, at least two: files of the same name are compared.",
    );
  const items = new Map<string, FolderItem<T>>();
  for (const system of systems)
    for (const file of folders.get(system) ?? []) {
      const key = stem(file.name);
      const item = items.get(key) ?? {
        name: file.name,
        prompt: promptOf(file.name),
        results: new Map(),
        source: sources.get(key) ?? null,
      };
      item.results.set(system, file);
      items.set(key, item);
    }
  const all = [...items.values()];
  const compared = all.filter(({ results }) => results.size > 1);
  if (compared.length === 0)
    throw new Error("No file has the same name in two of the folders, so nothing can be compared.");
  const leftOut = all.filter(({ results }) => results.size < 2).map(({ name }) => name);
  return { systems, items: compared, references, leftOut };
}
