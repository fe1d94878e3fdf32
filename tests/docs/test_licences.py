"""docs/licences.md names each copyleft dependency of API and workers, in its pinned version."""

import re

import pillow_heif

from deploy.audit_security import ALLOWED, REFUSED, licences
from deploy.locked import Package, python_packages
from tests.support.documents import DOCS, ROOT

PAGE = (DOCS / "licences.md").read_text()
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)


def test_every_copyleft_package_is_named() -> None:
    named = [one.name for one in _needed() if re.search(r"GPL|MPL", one.licence)]
    assert {"psycopg", "pebble", "certifi"} <= set(named)
    assert [name for name in named if name.removesuffix("-binary") not in PAGE] == []


def test_every_licence_is_on_the_list() -> None:
    """A new dependency under another licence needs a decision: the list and the page have the present ones."""
    assert len(_needed()) > 80
    assert licences() == []
    for refused in ("AGPL-3.0-only", "GPL-3.0-or-later", "GPLv2", "Proprietary; BSD", "Non-Commercial MIT"):
        assert REFUSED.search(refused), refused
    for allowed in ("MIT", "LGPL-3.0-only", "Apache-2.0 OR BSD-3-Clause"):
        assert ALLOWED.search(allowed), allowed
        assert not REFUSED.search(allowed), allowed
    assert not ALLOWED.search("EUPL-1.2")


def test_the_versions_are_the_pinned_ones() -> None:
    rows = re.findall(r"^\| ([a-z][\w-]+) (\d[\d.]*)", PAGE, re.MULTILINE)
    assert len(rows) == 5
    assert [row for row in rows if PINS[row[0]] != row[1]] == []


def test_the_heic_library_has_the_encoder_that_the_page_names() -> None:
    found = pillow_heif.libheif_info()["encoders"]
    assert ("x265" in found) == ("| x265" in PAGE)


def _needed() -> list[Package]:
    """The installed packages that API and workers need."""
    locked = {one.name: one for part in ("api", "worker") for one in python_packages(part)}
    return [one for one in locked.values() if one.licence]
