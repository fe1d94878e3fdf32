import { useState } from "react";

const STORAGE = "lipe-theme";
type Theme = "light" | "dark";

function storedTheme(): Theme {
  const stored = localStorage.getItem(STORAGE);
  if (stored === "light" || stored === "dark") return stored;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

export function Mark() {
  return (
    <svg className="mark" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" />
      <path d="M8 6v20h7V6z" opacity=".4" />
      <path d="M17 6v20h7V6z" />
    </svg>
  );
}

/** Light or dark; first as the system has it. */
export function ThemeButton() {
  const [theme, setTheme] = useState(storedTheme);
  const other: Theme = theme === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  const change = () => {
    localStorage.setItem(STORAGE, other);
    setTheme(other);
  };
  return (
    <button
      type="button"
      className="quiet icon"
      onClick={change}
      aria-label={`Use ${other} colours`}
      title={`Use ${other} colours`}
    >
      <svg viewBox="0 0 20 20" aria-hidden="true">
        <circle cx="10" cy="10" r="7" fill="none" stroke="currentColor" strokeWidth="1.6" />
        <path d="M10 3a7 7 0 0 1 0 14z" fill="currentColor" />
      </svg>
    </button>
  );
}
