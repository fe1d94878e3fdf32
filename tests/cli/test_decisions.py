"""`lipe decisions`: the export verifies, and a changed copy does not."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from ledger import decisions, projects
from ledger.database import UnitOfWork
from ledger.decisions import NewDecision
from ledger.models import Project

pytestmark = pytest.mark.usefixtures("settings_environment")


def run(*arguments: str, exit_code: int = 0, sent: str | None = None) -> str:
    result = CliRunner().invoke(app, ("decisions", *arguments), input=sent)
    assert result.exit_code == exit_code, result.output
    return result.output


def test_an_export_verifies_until_it_is_changed(begin: UnitOfWork, project: Project, tmp_path: Path) -> None:
    with begin() as session:
        for owner in (project, projects.create(session, "other"), project):
            decisions.record(session, owner.id, NewDecision("prompt", "allowed", "worker", ["job_1"]))
    exported = run("export")
    assert len(run("export", "--project", "other").splitlines()) == 1
    assert "3 decisions, unbroken" in run("verify", "-", sent=exported)

    copy = tmp_path / "copy.jsonl"
    copy.write_text(exported.replace('"allowed"', '"refused"', 1))
    assert "was changed" in run("verify", str(copy), exit_code=1)
    copy.write_text("".join(line for line in exported.splitlines(True) if json.loads(line)["number"] != 1))
    assert "is missing" in run("verify", str(copy), exit_code=1)


@pytest.mark.parametrize("text", ["[]", "{}", "no JSON", '{"number": 1}'])
def test_another_file_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "file.jsonl"
    file.write_text(text)
    assert "line 1 is no decision" in " ".join(run("verify", str(file), exit_code=2).split())


def test_an_unknown_project_is_refused(begin: UnitOfWork) -> None:
    assert "there is no project none" in run("export", "--project", "none", exit_code=2)
