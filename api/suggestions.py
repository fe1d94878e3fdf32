"""The message for an unknown name: it suggests the nearest known name, for a misspelled one."""

from collections.abc import Iterable
from difflib import get_close_matches

MAX_NAME = 64
"""Longest name that is compared. Comparison takes time, and no field has a longer name."""


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """The message for `name`: "unknown field `step`: did you mean `steps`?", or the known names if none is near."""
    choices = sorted(known)
    if len(name) > MAX_NAME:
        return f"unknown {kind}: remove it"
    near = get_close_matches(name.lower(), choices, n=1)
    if near:
        return f"unknown {kind} `{name}`: did you mean `{near[0]}`?"
    if not choices:
        return f"unknown {kind} `{name}`: remove it, as none is possible here"
    return f"unknown {kind} `{name}`: choose from {', '.join(choices)}"
