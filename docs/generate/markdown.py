"""Markdown text: tables, and the notice of a generated page."""

from collections.abc import Iterable, Sequence

NOTICE = "<!-- Generated from the code by `make docs`: do not edit. -->"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, with a line break at its end. Line breaks and bars in cells are replaced."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(_cell(text) for text in line)} |\n" for line in lines)


def page(title: str, *parts: str) -> str:
    """A generated page: its title, the notice, and the parts, separated by blank lines."""
    return "\n\n".join([f"# {title}", NOTICE, *(part.strip("\n") for part in parts if part.strip())]) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")
