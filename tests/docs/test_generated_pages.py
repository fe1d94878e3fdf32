"""The generated pages are those of the code, and every page is in the navigation."""

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from api.problem_kinds import PROBLEM_KINDS
from docs.generate.__main__ import PAGES
from docs.generate.api_pages import render_groups
from docs.generate.markdown import table
from docs.generate.problem_meanings import JOB_ERRORS, PROBLEMS
from docs.generate.problems_page import JOB_CODES
from ledger.settings import Settings
from tests.support.documents import DOCS, ROOT

MAX_README_LINES = 150


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text() == PAGES[name](), "run `make docs` (or `python -m docs.generate`) and commit it"


def test_every_setting_is_described() -> None:
    assert not [name for name, field in Settings.model_fields.items() if len(field.description or "") < 10]


def test_every_problem_code_has_a_meaning_and_no_other_code_has() -> None:
    assert set(PROBLEMS) == set(PROBLEM_KINDS), "write its meaning in docs/generate/problem_meanings.py"
    assert set(JOB_ERRORS) == set(JOB_CODES), "write its meaning in docs/generate/problem_meanings.py"


def test_the_pages_of_the_api_have_every_request() -> None:
    groups, overview = "\n".join(render_groups().values()), (DOCS / "api.md").read_text()
    requests = re.findall(r"^\| `([A-Z]+ \S+)` \|", overview, re.MULTILINE)
    assert len(requests) > 30
    assert [request for request in requests if f"```http\n{request}\n```" not in groups] == []


def test_a_cell_of_a_table_stays_on_one_line() -> None:
    assert table(("a",), [("x | y\nz",)]) == "| a |\n| --- |\n| x \\| y z |\n"


def test_every_page_is_in_the_navigation() -> None:
    site = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
    pages = {file.relative_to(DOCS).as_posix() for pattern in ("*.md", "decisions/*.md") for file in DOCS.glob(pattern)}
    named = list(_pages(site["nav"]))
    assert (pages | set(render_groups())) ^ set(named) == set(), "name it in nav of zensical.toml, or remove it there"
    assert len(named) == len(set(named))


def test_the_readme_is_a_front_page() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= MAX_README_LINES


def _pages(entry: Any) -> Iterator[str]:
    """All pages of the navigation: strings, and tables from title to page or list."""
    if isinstance(entry, str):
        yield entry
    for child in entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ():
        yield from _pages(child)
