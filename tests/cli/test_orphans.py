"""`lipe orphans` lists what would be deleted, and deletes nothing."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from cli import orphans as command
from cli.main import app
from ledger.database import UnitOfWork
from ledger.models import KnownPeriod, Project, new_id
from ledger.orphans import OrphanSweep
from ledger.storage import PROJECTS, Storage, image_prefix

pytestmark = pytest.mark.usefixtures("settings_environment")


class ImpatientSweep(OrphanSweep):
    """Objects count as settled immediately."""

    def __init__(self, begin: UnitOfWork, storage: Storage) -> None:
        super().__init__(begin, storage, settled=timedelta(seconds=-5))


def test_the_command_lists_and_deletes_nothing(
    begin: UnitOfWork, project: Project, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "OrphanSweep", ImpatientSweep)
    storage.delete_prefix(PROJECTS)
    assert "0 to delete" in run("orphans")
    key = storage.put(image_prefix(project.id, new_id("img")), "file", b"bytes", "image/png").key
    known = datetime(2000, 1, 1, tzinfo=UTC)
    with begin() as session:
        session.add(KnownPeriod(begins_at=known, ends_at=known + timedelta(days=1)))
    assert [(one["key"], one["is_kept"]) for one in json.loads(run("orphans", "--json"))] == [(key, True)]
    with begin() as session:
        session.add(KnownPeriod(begins_at=datetime.now(UTC) - timedelta(days=1), ends_at=datetime.now(UTC)))
    monkeypatch.setenv("LIPE_DELETE_ORPHANS", "false")
    for _ in range(2):
        assert f"UTC  {key}\n1 to delete, but LIPE_DELETE_ORPHANS is false" in run("orphans")
    assert run("orphans", "--forget-gaps") == "forgot 1 gaps\n"
    assert run("orphans", "--forget-gaps") == "forgot 0 gaps\n"


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result.output
