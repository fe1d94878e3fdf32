import { METHODS, type Method, type Others, PRESETS, type Preset } from "../lib/variants";

interface CompareWithProps {
  preset: Preset;
  method: Method;
  /** Those that the base model can use. */
  known: Method[];
  others: Others;
  onChange: (others: Others) => void;
}

const toggled = <T,>(list: T[], one: T): T[] =>
  list.includes(one) ? list.filter((other) => other !== one) : [...list, one];

/** Other presets and methods that edit the same image with the same prompts and seeds. */
export function CompareWith({ preset, method, known, others, onChange }: CompareWithProps) {
  const count = others.presets.length + others.methods.length;
  const presets = (Object.keys(PRESETS) as Preset[]).filter((one) => one !== preset);
  const methods = known.filter((one) => one !== method);
  return (
    <details open={count > 0 ? true : undefined}>
      <summary>Compare with other presets or methods{count > 0 ? `: ${count} chosen` : ""}</summary>
      <p className="hint">
        Each makes an edit of its own, with the same image, prompts and seeds. You see them side by side.
      </p>
      <fieldset className="toggles">
        <legend className="hint">Presets</legend>
        {presets.map((one) => (
          <button
            key={one}
            type="button"
            className="chip chip-offer"
            aria-pressed={others.presets.includes(one)}
            onClick={() => onChange({ ...others, presets: toggled(others.presets, one) })}
          >
            {PRESETS[one]}
          </button>
        ))}
      </fieldset>
      <fieldset className="toggles">
        <legend className="hint">Methods</legend>
        {methods.map((one) => (
          <button
            key={one}
            type="button"
            className="chip chip-offer"
            aria-pressed={others.methods.includes(one)}
            onClick={() => onChange({ ...others, methods: toggled(others.methods, one) })}
          >
            {METHODS[one]}
          </button>
        ))}
      </fieldset>
    </details>
  );
}
