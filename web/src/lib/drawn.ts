/** The drawn bear: images that the miniature knows, for a first try without own images. */
import one from "../drawn/reference-1.png";
import two from "../drawn/reference-2.png";
import three from "../drawn/reference-3.png";
import four from "../drawn/reference-4.png";
import source from "../drawn/source.png";

/** Metadata of subjects that were made of the drawn references. */
export const DRAWN = { studio: "drawn-bear" };

async function file(url: string, name: string): Promise<File> {
  return new File([await (await fetch(url)).blob()], name, { type: "image/png" });
}

export const drawnReferences = (): Promise<File[]> =>
  Promise.all([one, two, three, four].map((url, k) => file(url, `drawn bear ${k + 1}.png`)));

export const drawnSource = (): Promise<File> => file(source, "drawn bear to edit.png");
