"""The choice of programs, and the notice if they are not installed."""

import os
from pathlib import Path

import pytest

from tests.servers import drive


@pytest.fixture
def postgres(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of Debian's PostgreSQL versions."""
    monkeypatch.setattr(drive, "DEBIAN_POSTGRES", tmp_path)
    return tmp_path


def test_the_newest_postgres_is_first(postgres: Path) -> None:
    for version in ("9.6", "15", "17"):
        (postgres / version / "bin").mkdir(parents=True)
    assert drive.search_path("/usr/bin").split(os.pathsep) == [f"{postgres}/17/bin", "/usr/bin"]


def test_without_debians_postgres_the_path_is_unchanged(postgres: Path) -> None:
    assert drive.search_path("/usr/bin") == "/usr/bin"


def test_without_the_programs_it_prints_what_to_install(
    postgres: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(postgres))
    assert drive.main([]) == 0
    printed = capsys.readouterr().out
    assert "SKIPPED: not installed: initdb, postgres, pgbouncer, redis-server, ceph," in printed
    assert "apt-get install --no-install-recommends postgresql pgbouncer redis-server" in printed


def test_the_usual_tests_exist() -> None:
    assert [test for test in drive.TESTS if not (drive.ROOT / test.removeprefix("--ignore=")).exists()] == []
