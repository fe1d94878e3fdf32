"""One version: every file that states it agrees with `ledger/version.py`, and the changelog has its section."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.set_version import PLACES, SECTION, set_version, stated
from ledger.version import VERSION
from tests.support.checkout import ROOT


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with the files that state the version, and the changelog."""
    for file in (*PLACES, "CHANGELOG.md"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    return tmp_path


def sections(root: Path) -> list[tuple[str, str]]:
    """The versions of the changelog with their dates, newest first."""
    found: list[tuple[str, str]] = re.findall(SECTION, (root / "CHANGELOG.md").read_text(), flags=re.M)
    return found


def test_every_place_states_the_version() -> None:
    assert set(stated(ROOT).values()) == {VERSION}


def test_the_newest_section_of_the_changelog_is_that_of_the_version() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), flags=re.M)
    assert headings == [f"{version} - {date}" for version, date in sections(ROOT)]
    assert sections(ROOT)[0][0] == VERSION
    assert all(date != "unreleased" for _, date in sections(ROOT)[1:])


def test_a_tagged_commit_has_its_version_and_a_dated_section() -> None:
    tags = subprocess.run(["git", "tag", "--points-at", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    for tag in re.findall(r"^v\d.*$", tags.stdout, flags=re.M):
        assert tag == f"v{VERSION}"
        assert sections(ROOT)[0][1] != "unreleased"


def test_a_new_version_reaches_every_place_once(copy: Path) -> None:
    set_version(copy, "10.20.30")
    set_version(copy, "10.20.30")
    assert set(stated(copy).values()) == {"10.20.30"}
    assert sections(copy) == [("10.20.30", "unreleased"), *sections(ROOT)]


@pytest.mark.parametrize("version", ["v0.3.0", "0.3", "0.3.0rc1"])
def test_another_form_of_a_version_is_refused(copy: Path, version: str) -> None:
    with pytest.raises(ValueError, match="is not a version such as"):
        set_version(copy, version)
    assert set(stated(copy).values()) == {VERSION}


def test_a_place_without_the_version_is_an_error(copy: Path) -> None:
    (copy / "Dockerfile.api").write_text("FROM scratch\n")
    with pytest.raises(ValueError, match=r"Dockerfile\.api states the version 0 times"):
        set_version(copy, "10.20.30")
    assert (copy / "ledger" / "version.py").read_text() == (ROOT / "ledger" / "version.py").read_text()
