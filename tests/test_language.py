"""The project's language: one noun a thing, no riddles, short sentences. CONTRIBUTING.md has the rules.

`python -m tests.test_language` prints the number of findings of every folder, and with a path its findings.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAX_WORDS = 30
WORDS = {
    "image": r"pictures?",
    "generate": r"(?:re)?paint(?:s|ed|ing|er)?",
    "notify": r"doorbells?|rung|rings? (?:for|again)",
    "learned": r"learnt|unlearnt",
    "name who acts": r"whoever|nobody|somebody|everybody",
    "say what happens": r"go(?:es)? along|(?:is|are) (?:told|meant)|in vain|of which telling",
}
ALLOWED = {  # path prefix -> words that are right there
    "menagerie/captions.py": r"picture",  # a word of the captions
    "menagerie": r"(?:re)?paint(?:s|ed|ing|er)?|rings? (?:for|again)",  # the code that draws the images
    "tests/test_language.py": r".*",
    "cli/embedded/postgres.py": r"nobody",  # the Unix user
    "CHANGELOG.md": r"pictures?|doorbells?",  # old names
    "migrations": r"rung",  # the old name of a column
}


def tracked_files() -> list[str]:
    """The repository's text files that people write, by path."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    names = [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]
    written = re.compile(r"(\.(py|md|sh|yml|toml)|Makefile|Dockerfile\.\w+|\.env\.example)$")
    return [name for name in names if written.search(name)]


def words_of(text: str) -> str:
    """Text with code spans removed and identifiers split into words."""
    text = re.sub(r"`[^`\n]*`", " ", text).replace("_", " ")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)


def prose(path: str, text: str) -> Iterator[str]:
    """The paragraphs of a Markdown file; the docstrings and comments of a Python file."""
    if path.endswith(".md"):
        text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
        lines = [line for line in text.splitlines() if not line.lstrip().startswith(("|", "#", "!["))]
        yield from re.split(r"\n\s*\n|\n\s*(?:[-*]|\d+\.) ", "\n".join(lines))
    if path.endswith(".py"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield from (ast.get_docstring(node) or "").split("\n\n")
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                yield token.string.lstrip("# ")


def findings(path: str) -> Iterator[str]:
    """The findings in a file, one line each."""
    text = (ROOT / path).read_text()
    allowed = next((pattern for prefix, pattern in ALLOWED.items() if path.startswith(prefix)), "$^")
    for advice, pattern in WORDS.items():
        for found in re.finditer(rf"\b(?:{pattern})\b", words_of(text), flags=re.I):
            if not re.fullmatch(allowed, found[0], flags=re.I):
                yield f"{path}: {found[0]!r}: {advice}"
    for paragraph in prose(path, text):
        for sentence in re.split(r"(?<=[.!?:;])\s+", " ".join(paragraph.split())):
            length = len(re.sub(r"`[^`]*`|\([^)]*\)|\S+://\S+", "x", sentence).split())
            if length > MAX_WORDS:
                yield f"{path}: {length} words, at most {MAX_WORDS}: {sentence[:70]} ..."
            if re.match(r"(What|Where|Who|Whose)\b[^?]*\.$", sentence):
                yield f"{path}: begin with the subject: {sentence[:70]}"


@pytest.mark.parametrize("path", tracked_files())
def test_the_language_rules_hold(path: str) -> None:
    assert not list(findings(path))


if __name__ == "__main__":
    found = [line for path in tracked_files() for line in findings(path)]
    if sys.argv[1:]:
        print("\n".join(line for line in found if line.startswith(sys.argv[1])))
    else:
        areas = Counter("/".join(line.split(":")[0].split("/")[:-1][:2]) or "." for line in found)
        print("\n".join(f"{count:5} {area}" for area, count in areas.most_common()))
