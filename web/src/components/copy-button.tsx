import { useState } from "react";

/** Copies a text. Without the right to the clipboard it shows the text, selected, to copy by hand. */
export function CopyButton({ label, text }: { label: string; text: string }) {
  const [state, setState] = useState<"idle" | "copied" | "shown">("idle");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setState("copied");
      setTimeout(() => setState("idle"), 2000);
    } catch {
      setState("shown");
    }
  };
  return (
    <>
      <button type="button" className="quiet" onClick={() => void copy()}>
        {state === "copied" ? "Copied" : label}
      </button>
      {state === "shown" && (
        <textarea
          className="to-copy"
          readOnly
          value={text}
          aria-label={label}
          ref={(area) => area?.select()}
        />
      )}
    </>
  );
}
