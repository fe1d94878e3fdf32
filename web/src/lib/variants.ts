/** The same edit with other settings, to compare: same image, prompts, seeds and mask. */
import type { NewEdit } from "./request";

export type Preset = NonNullable<NewEdit["preset"]>;
export type Method = NonNullable<NewEdit["method"]>;

export const METHODS: Record<Method, string> = {
  nima: "NIMA, the method of LIPE",
  nima_single_pass: "NIMA in a single pass",
  ddim: "DDIM inversion",
  sdedit: "SDEdit",
  prompt_to_prompt: "Prompt-to-prompt",
  masactrl: "MasaCtrl",
  dreamctrl: "DreamCtrl",
  imagic: "Imagic",
  ledits: "LEDITS++",
  mystyle: "MyStyle",
  reference_tokens: "Reference tokens, for FLUX.2",
};
export const PRESETS: Record<Preset, string> = { fast: "Fast", balanced: "Balanced", best: "Best" };
const MAX_SEED = 2 ** 31;

/** What to compare with: other presets of the chosen method, and other methods with the chosen preset. */
export interface Others {
  presets: Preset[];
  methods: Method[];
}
export const NO_OTHERS: Others = { presets: [], methods: [] };

export const variantName = (method: Method, preset: string): string =>
  `${METHODS[method].split(",")[0]} · ${(PRESETS[preset as Preset] ?? preset).toLowerCase()}`;

/** The requests of the chosen edit and of its variants. All have the same seed, which is drawn here if none is given. */
export function variantsOf(body: NewEdit, others: Others, random = Math.random): NewEdit[] {
  if (others.presets.length + others.methods.length === 0) return [body];
  const seed = body.seed ?? Math.floor(random() * MAX_SEED);
  const first = { ...body, seed };
  const presets = others.presets
    .filter((preset) => preset !== body.preset)
    .map((preset) => ({ ...first, preset }));
  const methods = others.methods
    .filter((method) => method !== body.method)
    .map((method) => {
      // These belong to the chosen method alone.
      const { identity, change, parameters, ...shared } = first;
      return { ...shared, method };
    });
  return [first, ...presets, ...methods] as NewEdit[];
}
