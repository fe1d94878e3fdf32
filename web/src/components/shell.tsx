import { useEffect, useState } from "react";

const STORAGE = "lipe-theme";
type Theme = "light" | "dark";

const SYSTEM = matchMedia("(prefers-color-scheme: dark)");
const systemTheme = (): Theme => (SYSTEM.matches ? "dark" : "light");

function storedTheme(): Theme | null {
  const stored = localStorage.getItem(STORAGE);
  return stored === "light" || stored === "dark" ? stored : null;
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

/** Light or dark: as the system has it, also when that changes, until the person chooses the other one. */
export function ThemeButton() {
  const [theme, setTheme] = useState<Theme>(() => storedTheme() ?? systemTheme());
  useEffect(() => {
    const follow = () => setTheme(storedTheme() ?? systemTheme());
    SYSTEM.addEventListener("change", follow);
    return () => SYSTEM.removeEventListener("change", follow);
  }, []);
  const other: Theme = theme === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  const change = () => {
    // The choice of the system is none of its own, so that the page follows the system again.
    if (other === systemTheme()) localStorage.removeItem(STORAGE);
    else localStorage.setItem(STORAGE, other);
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
