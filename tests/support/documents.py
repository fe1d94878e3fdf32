"""The documents of the repository, and their blocks of code with the comments that mark them."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FRONT = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md")
DOCUMENTS = [
    *(ROOT / name for name in FRONT),
    *sorted(ROOT.glob("clients/*/README.md")),
    *sorted(DOCS.glob("*.md")),
    *sorted(DOCS.glob("decisions/*.md")),
]
RUNNABLE = ("sh", "python")
NEEDS = frozenset({"gpu", "docker", "internet", "minutes", "hours", "app"})
"""The reasons why no test runs a block, as in `<!-- needs: gpu, internet -->` on the line before it."""

_BLOCK = re.compile(r"(?:^<!-- needs: ([\w, ]+) -->\n+)?^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of code of a document: its first line's number, language and text, and the marks before it."""

    line: int
    language: str
    text: str
    needs: frozenset[str]

    @property
    def is_run(self) -> bool:
        """Whether a test runs it."""
        return self.language in RUNNABLE and not self.needs


def blocks_of(document: Path) -> list[Block]:
    """The blocks of a document, in order."""
    text = document.read_text()
    return [
        Block(
            line=text.count("\n", 0, found.start(3)) + 1,
            language=found[2],
            text=found[3],
            needs=frozenset(re.split(r",\s*", found[1].strip()) if found[1] else ()),
        )
        for found in _BLOCK.finditer(text)
    ]
