import { useId } from "react";
import forms from "../api/parameters.json";

export type FormName = keyof typeof forms;
/** The typed texts, by name of the parameter; an empty one means the default. */
export type Texts = Record<string, string>;

interface Parameter {
  name: string;
  type?: string;
  options?: string[];
  minimum?: number;
  maximum?: number;
  description: string;
}

/** The parameters of the form that a base model of this recipe has. */
const parametersOf = (form: FormName, recipe: Record<string, unknown> | undefined): Parameter[] =>
  (forms[form] as Parameter[]).filter(({ name }) => !recipe || name in recipe);

/** The values of the texts that are not empty, without those of parameters that the base model lacks. */
export function parsed(
  form: FormName,
  texts: Texts,
  recipe?: Record<string, unknown>,
): Record<string, unknown> {
  const known = new Map(parametersOf(form, recipe).map((parameter) => [parameter.name, parameter]));
  const typed = (name: string, text: string) => {
    const type = known.get(name)?.type;
    if (type === "boolean") return text === "true";
    if (type === "array") return text.split(",").map((part) => part.trim());
    return type === "integer" || type === "number" ? Number(text) : text;
  };
  const given = Object.entries(texts).filter(([name, text]) => text.trim() !== "" && known.has(name));
  return Object.fromEntries(given.map(([name, text]) => [name, typed(name, text.trim())]));
}

function Field({
  parameter,
  text,
  standard,
  onChange,
}: {
  parameter: Parameter;
  text: string;
  standard: unknown;
  onChange: (text: string) => void;
}) {
  const id = useId();
  const { name, type, options, minimum, maximum, description } = parameter;
  const choices = type === "boolean" ? ["true", "false"] : type === "array" ? undefined : options;
  const shown = standard === undefined ? "default" : String(standard);
  const common = { id, value: text, "aria-describedby": `${id}-hint` };
  return (
    <div className="field">
      <label htmlFor={id}>
        <code>{name}</code>
      </label>
      {choices ? (
        <select {...common} onChange={(event) => onChange(event.target.value)}>
          <option value="">{shown}</option>
          {choices.map((choice) => (
            <option key={choice}>{choice}</option>
          ))}
        </select>
      ) : (
        <input
          {...common}
          type={type === "integer" || type === "number" ? "number" : "text"}
          step={type === "integer" ? 1 : "any"}
          min={minimum}
          max={maximum}
          placeholder={shown}
          onChange={(event) => onChange(event.target.value)}
        />
      )}
      <p id={`${id}-hint`} className="hint">
        {description}
      </p>
    </div>
  );
}

interface ParameterFieldsProps {
  form: FormName;
  texts: Texts;
  recipe: Record<string, unknown> | undefined;
  onChange: (texts: Texts) => void;
}

/** The settings of a training or a method that the base model has, from the contract, each with its meaning. Empty
 * means the recipe's value. */
export function ParameterFields({ form, texts, recipe, onChange }: ParameterFieldsProps) {
  return (
    <div className="parameters">
      {parametersOf(form, recipe).map((parameter) => (
        <Field
          key={parameter.name}
          parameter={parameter}
          text={texts[parameter.name] ?? ""}
          standard={recipe?.[parameter.name]}
          onChange={(text) => onChange({ ...texts, [parameter.name]: text })}
        />
      ))}
    </div>
  );
}
