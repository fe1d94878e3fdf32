"""A list of words and phrases that no prompt may have."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PromptList:
    """Refuses texts with one of the phrases as whole words. An empty list refuses nothing."""

    phrases: tuple[str, ...]

    @classmethod
    def read(cls, file: Path) -> "PromptList":
        """The list in a file: one phrase a line; empty lines and lines that begin with # are ignored."""
        lines = (line.strip() for line in file.read_text().splitlines())
        return cls(tuple(_normal(line) for line in lines if line and not line.startswith("#")))

    def find(self, texts: Iterable[str]) -> str | None:
        """The first phrase that one of the texts has, or None."""
        normal = [_normal(text) for text in texts]
        for phrase in self.phrases:
            if any(re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", text) for text in normal):
                return phrase
        return None


def _normal(text: str) -> str:
    """The text in small letters, with compatible characters made equal and single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
