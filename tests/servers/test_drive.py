"""Which programs are run, and what is said where there are none."""

import os
from pathlib import Path

import pytest

from tests.servers import drive


@pytest.fixture
def postgres(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Debian has its PostgreSQL."""
    monkeypatch.setattr(drive, "DEBIAN_POSTGRES", tmp_path)
    return tmp_path


def test_the_newest_postgres_is_found_first(postgres: Path) -> None:
    for version in ("9.6", "15", "17"):
        (postgres / version / "bin").mkdir(parents=True)
    assert drive.search_path("/usr/bin").split(os.pathsep) == [f"{postgres}/17/bin", "/usr/bin"]


def test_what_is_on_the_path_will_do(postgres: Path) -> None:
    assert drive.search_path("/usr/bin") == "/usr/bin"


def test_where_nothing_is_installed_it_says_so_and_what_to_do(
    postgres: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(postgres))
    assert drive.main([]) == 0
    said = capsys.readouterr().out
    assert "SKIPPED: not installed: initdb, postgres, redis-server, ceph," in said
    assert "apt-get install --no-install-recommends postgresql redis-server" in said


def test_the_usual_tests_are_there() -> None:
    assert [test for test in drive.TESTS if not (drive.ROOT / test.removeprefix("--ignore=")).exists()] == []
