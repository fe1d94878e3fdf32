"""`lipe retention` shows what would be erased, and erases nothing."""

import json

import pytest
from typer.testing import CliRunner

from cli.main import app
from ledger.database import UnitOfWork
from ledger.models import Project
from tests.support.rows import make_image

pytestmark = pytest.mark.usefixtures("settings_environment")


def test_the_command_shows_and_erases_nothing(
    begin: UnitOfWork, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with begin() as session:
        image = make_image(session, project.id)
    assert "images that nothing uses (LIPE_RETENTION_IMAGE_DAYS): kept for ever" in run("retention")
    monkeypatch.setenv("LIPE_RETENTION_IMAGE_DAYS", "0.0000000001")
    for _ in range(2):
        assert [one["id"] for one in json.loads(run("retention", "--json"))] == [image.id]
    assert "1 to erase" in run("retention")


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result.output
