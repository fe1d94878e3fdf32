"""The page of attacks names tests that exist, and each defence can still be removed to see its test fail."""

import ast

from tests.defences.removals import REMOVALS
from tests.defences.table import ROOT, attacks


def test_every_attack_names_a_test_that_exists() -> None:
    tests = attacks()
    assert list(tests) == list(range(1, len(tests) + 1))
    assert len(tests) >= 40
    for test in tests.values():
        file, _, name = test.partition("::")
        functions = [
            node.name for node in ast.walk(ast.parse((ROOT / file).read_text())) if isinstance(node, ast.FunctionDef)
        ]
        assert name in functions, test
    assert len(set(tests.values())) == len(tests)


def test_every_attack_says_how_to_remove_its_defence() -> None:
    assert [removal.attack for removal in REMOVALS] == list(attacks())
    for removal in REMOVALS:
        text = (ROOT / removal.file).read_text()
        assert removal.old in text, f"{removal.attack}: {removal.file} has no {removal.old!r}"
        if removal.file.endswith(".py"):
            ast.parse(text.replace(removal.old, removal.new))
