"""The page of attacks names tests that exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = re.findall(r"^\| (\d+) \| .* \| `([\w/.]+)::(\w+)` \|$", (ROOT / "docs/attacks.md").read_text(), re.MULTILINE)


def test_every_attack_names_a_test_that_exists() -> None:
    assert [int(number) for number, _, _ in ROWS] == list(range(1, len(ROWS) + 1))
    assert len(ROWS) >= 40
    for _, file, name in ROWS:
        functions = [
            node.name for node in ast.walk(ast.parse((ROOT / file).read_text())) if isinstance(node, ast.FunctionDef)
        ]
        assert name in functions, f"{file}::{name}"
    assert len({(file, name) for _, file, name in ROWS}) == len(ROWS)
