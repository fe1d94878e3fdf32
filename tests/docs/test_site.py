"""The documentation site builds without a warning, such as a dead link, and its pages need no other server."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from docs.generate.__main__ import write_site
from tests.support.documents import ROOT

LOADING = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
"""Elements that a browser loads without a click, and the attribute with the address."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    write_site(folder / "out" / "docs")
    (folder / "zensical.toml").write_text((ROOT / "zensical.toml").read_text())
    built = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "out" / "site"


def test_no_page_loads_anything_from_another_server(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        reader = _Loaded()
        reader.feed(page.read_text())
        assert [address for address in reader.addresses if re.match(r"(https?:)?//", address)] == [], page


def test_pages_need_no_script_for_diagrams_or_formulas(site: Path) -> None:
    """The theme's script loads mermaid and others from a server of its own choice, if a page has such elements."""
    assert [page for page in site.rglob("*.html") if re.search(r'class="(mermaid|arithmatex)', page.read_text())] == []


class _Loaded(HTMLParser):
    """Collects the addresses that a browser loads with the page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get(LOADING.get(tag, ""))
        if address and dict(attrs).get("rel") != "canonical":
            self.addresses.append(address)
