"""docs/licences.md names each copyleft dependency of API and workers, in its pinned version."""

import re
from importlib import metadata

import pillow_heif

from tests.support.documents import DOCS, ROOT

PAGE = (DOCS / "licences.md").read_text()
ALLOWED = re.compile(r"Apache|MIT|BSD|ISC|PSF|MPL-2\.0|LGPL")
REFUSED = re.compile(r"AGPL|SSPL|(?<!L)GPL-|GPLv|[Nn]on-?[Cc]ommercial|Proprietary")
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)


def test_every_copyleft_package_is_named() -> None:
    named = [name for name, facts in _needed().items() if re.search(r"GPL|MPL", _licence(facts))]
    assert {"psycopg", "pebble", "certifi"} <= set(named)
    assert [name for name in named if name.removesuffix("-binary") not in PAGE] == []


def test_every_licence_is_on_the_list() -> None:
    """A new dependency under another licence needs a decision: this list and the page have the present ones."""
    licences = {name: _licence(facts) for name, facts in _needed().items()}
    assert len(licences) > 80
    assert {name: text for name, text in licences.items() if not ALLOWED.search(text) or REFUSED.search(text)} == {}


def test_the_versions_are_the_pinned_ones() -> None:
    rows = re.findall(r"^\| ([a-z][\w-]+) (\d[\d.]*)", PAGE, re.MULTILINE)
    assert len(rows) == 5
    assert [row for row in rows if PINS[row[0]] != row[1]] == []


def test_the_heic_library_has_the_encoder_that_the_page_names() -> None:
    found = pillow_heif.libheif_info()["encoders"]
    assert ("x265" in found) == ("| x265" in PAGE)


def _needed() -> dict[str, metadata.PackageMetadata]:
    """The metadata of the installed packages that API and workers need, by name."""
    installed = {one.name.lower().replace("_", "-"): one.metadata for one in metadata.distributions()}
    locked = "".join((ROOT / "requirements" / f"{part}.txt").read_text() for part in ("api", "worker"))
    return {
        name: installed[name]
        for name in sorted(set(re.findall(r"^([\w.-]+)==", locked, re.MULTILINE)) & set(installed))
    }


def _licence(facts: metadata.PackageMetadata) -> str:
    """The licence of a package by its metadata; a licence's whole text counts by its first line."""
    lines = [
        text.strip().split("\n")[0] for name in ("License-Expression", "License") for text in facts.get_all(name, [])
    ]
    return " ".join([*lines, *(line for line in facts.get_all("Classifier", []) if line.startswith("License"))])
