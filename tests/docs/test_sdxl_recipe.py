"""docs/sdxl-recipe.md gives the reason of every default, and the values of the sweep."""

import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest

from cli.kit.systems import sweep
from lipe_core import recipes
from lipe_core.methods.nima.config import NimaConfig
from lipe_core.training.config import PriorConfig
from lipe_core.training.regularization import RegularizationConfig
from tests.support.documents import DOCS

PAGE = (DOCS / "sdxl-recipe.md").read_text()
KINDS = {"published", "drawn", "definition", "untested"}
SECTIONS = {"Training": PriorConfig, "Regularization set": RegularizationConfig, "NIMA": NimaConfig}
ROW = re.compile(r"^\| `(\w+)` \| ([^|]+) \| (\w+) \| ([^|]+) \|([^|]*)\|$", re.MULTILINE)


def rows(section: str) -> Iterator[tuple[str, str, str, str, str]]:
    """Name, value, kind, reason and swept values of each row."""
    for name, value, kind, reason, swept in ROW.findall(PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]):
        yield name, value, kind, reason.strip(), swept.strip()


def as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(value) if isinstance(value, tuple) else str(value)


@pytest.mark.parametrize("section", SECTIONS)
def test_every_default_has_its_value_and_a_reason(section: str) -> None:
    config = SECTIONS[section]
    expected = {field.name: as_text(field.default) for field in fields(config) if field.name != "seed"}
    assert {name: value for name, value, *_ in rows(section)} == expected
    assert all(kind in KINDS and len(reason) > 15 for _, _, kind, reason, _ in rows(section))


@pytest.mark.parametrize("name", [recipes.SDXL_BASE, recipes.SDXL_FINE_TUNE])
def test_the_shipped_recipes_have_the_values_of_the_page(name: str) -> None:
    names = dict(zip(SECTIONS, ("prior", "regularization", "nima"), strict=True))
    shipped = recipes.shipped(name)
    assert set(shipped) == set(names.values())
    for section, key in names.items():
        stored = {field: tuple(value) if isinstance(value, list) else value for field, value in shipped[key].items()}
        values = {field: as_text(value) for field, value in stored.items()}
        assert values == {field: value for field, value, *_ in rows(section)}


@pytest.mark.parametrize(("section", "prefix"), [("Training", "training "), ("NIMA", "")])
def test_the_swept_values_are_those_of_the_kit(section: str, prefix: str) -> None:
    names = [name for name in sweep() if name != "lipe"]
    swept = {
        tuple(name.removeprefix(prefix).rsplit(" ", 1)) for name in names if name.startswith("training") == bool(prefix)
    }
    listed = {(name, value) for name, *_, values in rows(section) for value in values.split(", ") if value}
    assert {(name, _number(value)) for name, value in listed} == {(name, _number(value)) for name, value in swept}


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text.lower()
