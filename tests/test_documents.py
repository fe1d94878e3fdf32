"""The documents name files that exist."""

import re
from pathlib import Path

import pytest

from tests.support.documents import DOCUMENTS, ROOT

PACKAGES = (
    "api|benchmarks|cli|clients|deploy|docs|ledger|lipe_core|menagerie|migrations|provenance|requirements|tests|worker"
)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.relative_to(ROOT).as_posix())
def test_named_files_exist(document: Path) -> None:
    named = re.findall(rf"`((?:{PACKAGES})/[\w./-]*)`", document.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.relative_to(ROOT).as_posix())
def test_relative_links_lead_to_files(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []
