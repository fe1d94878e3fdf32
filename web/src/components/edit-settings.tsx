import { useState } from "react";
import { useModels } from "../api/queries";
import { methodsFor, modelFor, recipeOf } from "../lib/base-model";
import type { EditDraft } from "../lib/edit-draft";
import { METHODS, NO_OTHERS } from "../lib/variants";
import { CompareWith } from "./compare-with";
import { CheckField, Choice, SelectField, TextArea, TextField } from "./fields";
import { type FormName, ParameterFields } from "./parameter-fields";

const PRESETS = [
  { value: "fast", text: "Fast" },
  { value: "balanced", text: "Balanced" },
  { value: "best", text: "Best" },
] as const;
const IDENTITY = [
  { value: "low", text: "Low" },
  { value: "normal", text: "Normal" },
  { value: "high", text: "High" },
] as const;
const CHANGE = [
  { value: "small", text: "Small" },
  { value: "normal", text: "Normal" },
  { value: "large", text: "Large" },
] as const;

/** How the edit is made. `fingerprint` is that of the base model of its prior, if there is one. */
export function EditSettings({
  draft,
  fingerprint,
  onChange,
}: {
  draft: EditDraft;
  fingerprint: string | undefined;
  onChange: (part: Partial<EditDraft>) => void;
}) {
  const [isOpen, setOpen] = useState(false);
  const model = modelFor(useModels().data, fingerprint);
  const recipe = recipeOf(model);
  const methods = methodsFor(model);
  return (
    <>
      <Choice
        label="Time against quality"
        value={draft.preset}
        options={PRESETS}
        onChange={(preset) => onChange({ preset, others: NO_OTHERS })}
      />
      {draft.method === "nima" && (
        <div className="columns">
          <Choice
            label="Strength of identity"
            value={draft.identity}
            options={IDENTITY}
            onChange={(identity) => onChange({ identity })}
            hint="High if texture or colours of the subject are lost."
          />
          <Choice
            label="Size of the change"
            value={draft.change}
            options={CHANGE}
            onChange={(change) => onChange({ change })}
            hint="Large if the edit is too weak."
          />
        </div>
      )}
      <div className="columns">
        <TextField
          label="Images for each prompt"
          type="number"
          min={1}
          max={16}
          value={draft.n}
          onChange={(event) => onChange({ n: event.target.value })}
          hint="Each has another seed."
        />
        <TextField
          label="First seed"
          inputMode="numeric"
          placeholder="Drawn by the service"
          value={draft.seed}
          onChange={(event) => onChange({ seed: event.target.value })}
          hint="The same seed gives the same image."
        />
      </div>
      <CompareWith
        preset={draft.preset}
        method={draft.method}
        known={methods}
        others={draft.others}
        onChange={(others) => onChange({ others })}
      />
      <CheckField
        label="All other people in the image have agreed"
        checked={draft.othersConsented}
        onChange={(event) => onChange({ othersConsented: event.target.checked })}
      />
      <details onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>Advanced: prompts, method and all its settings</summary>
        {isOpen && (
          <>
            <TextArea
              label="The image as it is now"
              value={draft.sourcePrompt}
              onChange={(event) => onChange({ sourcePrompt: event.target.value })}
              hint="Empty: the service describes it."
            />
            <TextArea
              label="What the image must not show"
              value={draft.negativePrompt}
              onChange={(event) => onChange({ negativePrompt: event.target.value })}
            />
            <SelectField
              label="Kind of results"
              value={draft.results}
              onChange={(event) => onChange({ results: event.target.value as EditDraft["results"] })}
              hint="Published: with an invisible watermark. Choose it for images that leave your hands."
            >
              <option value="">As the project has it</option>
              <option value="archival">Archival</option>
              <option value="published">Published</option>
              <option value="labelled">Published, with the visible label AI-edited</option>
            </SelectField>
            <SelectField
              label="Method"
              value={draft.method}
              onChange={(event) =>
                onChange({
                  method: event.target.value as EditDraft["method"],
                  parameters: {},
                  others: NO_OTHERS,
                })
              }
              hint="The others are published methods, to compare with."
            >
              {(methods.includes(draft.method) ? methods : [...methods, draft.method]).map((method) => (
                <option key={method} value={method}>
                  {METHODS[method]}
                </option>
              ))}
            </SelectField>
            <ParameterFields
              form={draft.method as FormName}
              texts={draft.parameters}
              recipe={recipe?.[draft.method]}
              onChange={(parameters) => onChange({ parameters })}
            />
          </>
        )}
      </details>
    </>
  );
}
