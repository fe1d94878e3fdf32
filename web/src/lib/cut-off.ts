/** Where the frame cuts a subject off, in words. */
import type { Schemas } from "../api/client";

type Mask = Pick<Schemas["MaskBody"], "cut_off" | "share">;
type Subject = Pick<Schemas["SubjectBody"], "category" | "class_noun">;

/** The sides that matter: a portrait of a person ends at the bottom of the image as a rule. */
export const cutOffSides = ({ cut_off: sides }: Mask, { category }: Subject): string[] =>
  sides.filter((side) => side !== "bottom" || category !== "person");

const listed = (words: string[]): string =>
  words.length > 1 ? `${words.slice(0, -1).join(", ")} and ${words.at(-1)}` : (words[0] ?? "");

/** What is wrong with a reference, by the subject's mask in it. */
export function referenceDoubts(mask: Mask, subject: Subject): string[] {
  if (mask.share === 0) return [`LIPE sees no ${subject.class_noun} here.`];
  const sides = cutOffSides(mask, subject);
  return sides.length > 0 ? [`Cut off at the ${listed(sides)}. LIPE cannot learn what is outside.`] : [];
}

/** What an edit of an image cannot show, by the subject's mask in it. */
export function sourceDoubt(mask: Mask, subject: Subject, name: string): string | null {
  const sides = cutOffSides(mask, subject);
  return sides.length > 0
    ? `${name} is cut off at the ${listed(sides)}. A new pose may need what is outside.`
    : null;
}
