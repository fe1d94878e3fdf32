import { type KeyboardEvent, useId, useState } from "react";

interface PromptChipsProps {
  prompts: string[];
  start: string;
  suggestions: string[];
  error: string | undefined;
  onChange: (prompts: string[]) => void;
}

/** The wanted images in words, one chip each. Enter adds the typed one; the suggestions add theirs by a click. */
export function PromptChips({ prompts, start, suggestions, error, onChange }: PromptChipsProps) {
  const id = useId();
  const [typed, setTyped] = useState("");
  const text = typed || `${start} `;
  const add = (prompt: string) => {
    const clean = prompt.trim();
    if (clean && clean !== start && !prompts.includes(clean)) onChange([...prompts, clean]);
    setTyped("");
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    add(text);
  };
  const offered = suggestions.filter((one) => !prompts.includes(one));
  return (
    <div className="field">
      <label htmlFor={id}>What should the image show?</label>
      <div className="prompt-input">
        <input
          id={id}
          value={text}
          aria-invalid={Boolean(error)}
          aria-describedby={`${id}-hint`}
          onChange={(event) => setTyped(event.target.value)}
          onKeyDown={onKey}
          onBlur={() => typed && add(typed)}
        />
        <button type="button" onClick={() => add(text)}>
          Add
        </button>
      </div>
      {prompts.length > 0 && (
        <ul className="chips">
          {prompts.map((prompt) => (
            <li key={prompt} className="chip">
              {prompt}
              <button
                type="button"
                aria-label={`Remove: ${prompt}`}
                onClick={() => onChange(prompts.filter((one) => one !== prompt))}
              >
                ×
              </button>
            </li>
          ))}
        </ul>
      )}
      {error && <p className="field-error">{error}</p>}
      <p id={`${id}-hint`} className="hint">
        Keep <code>{start}</code>, and say what is different. Each prompt gives images of its own.
      </p>
      <div className="chips">
        {offered.map((one) => (
          <button type="button" key={one} className="chip chip-offer" onClick={() => add(one)}>
            + {one.slice(start.length).trim()}
          </button>
        ))}
      </div>
    </div>
  );
}
