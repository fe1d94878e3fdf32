/** Changes that users often ask for, by category of subject. */
import type { Subject } from "../api/client";

const VIEWS = ["looking left", "looking right"];
const CHANGES: Record<Subject["category"], string[]> = {
  animal: ["jumping", "sitting", "lying down", "standing", "with eyes closed", ...VIEWS],
  person: ["smiling", "surprised", "with eyes closed", "with arms up", ...VIEWS],
  object: ["open", "closed", "seen from the front", ...VIEWS],
};

export const basePrompt = (subject: Subject): string => `a photo of ${subject.token} ${subject.class_noun}`;

export const suggestions = (subject: Subject): string[] =>
  CHANGES[subject.category].map((change) => `${basePrompt(subject)} ${change}`);
