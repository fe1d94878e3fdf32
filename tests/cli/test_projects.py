"""`lipe projects` and `lipe usage`: weights and quotas of projects, and what they used."""

from datetime import date

import pytest
from typer.testing import CliRunner

from cli.main import app
from ledger import attempts, projects
from ledger.database import UnitOfWork
from ledger.models import KindUsage, Project
from tests.support.rows import make_job, make_subject

pytestmark = pytest.mark.usefixtures("settings_environment")


def run(*command: str, status: int = 0) -> str:
    done = CliRunner().invoke(app, command, env={"COLUMNS": "200"})
    assert done.exit_code == status, done.output
    return done.output


def test_a_project_is_created_changed_and_listed(begin: UnitOfWork) -> None:
    assert "lipe keys create --project studio" in run("projects", "create", "studio", "--weight", "2")
    run("projects", "set", "studio", "--max-running-jobs", "3", "--max-queued-jobs", "0", "--weight", "0.5")
    with begin() as session:
        (project,) = projects.listing(session)
        assert (project.weight, project.max_running_jobs, project.max_queued_jobs) == (0.5, 3, 0)
        assert project.max_gpu_seconds_per_day is None
    (row,) = [line for line in run("projects", "list").splitlines() if "studio" in line]
    assert [cell.strip() for cell in row.split("│")[1:-1]] == ["studio", "archival", "no", "0.5", "3", "0", "[86400]"]
    run("projects", "set", "studio", "--max-running-jobs", "default")
    with begin() as session:
        assert projects.listing(session)[0].max_running_jobs is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "give what shall change"),
        (["--weight", "-1"], "from 0.001 to 1000"),
        (["--weight", "nan"], "from 0.001 to 1000"),
        (["--max-running-jobs", "-1"], 'write a whole number from 0 to 2147483647, or "default"'),
        (["--max-queued-jobs", "many"], "write a whole number"),
    ],
)
def test_a_change_that_makes_no_sense_says_what_to_write(
    begin: UnitOfWork, project: Project, options: list[str], words: str
) -> None:
    assert words in " ".join(run("projects", "set", project.name, *options, status=2).replace("│", " ").split())


def test_a_second_project_of_a_name_is_refused(begin: UnitOfWork, project: Project) -> None:
    assert "choose another name" in run("projects", "create", project.name, status=2)
    assert "lipe projects list" in run("projects", "set", "absent", "--weight", "1", status=2)


def test_the_usage_is_listed_by_day_project_and_kind(begin: UnitOfWork, project: Project) -> None:
    with begin() as session:
        job = make_job(session, make_subject(session, project.id))
        claim = attempts.claim(session, job.id, "worker", lease_seconds=60)
        assert claim is not None
        assert attempts.finish_failed(session, claim, "internal_error", "a test", {})
        session.add(KindUsage(project_id=project.id, day=date(2026, 1, 2), kind="edit", attempts=3, gpu_seconds=1.5))
    header, old, new = run("usage").splitlines()
    assert header == "day,project_id,project,kind,jobs,gpu_seconds"
    assert old == f"2026-01-02,{project.id},{project.name},edit,3,1.500"
    assert f",{project.id},{project.name},prior,1,0." in new
    assert run("usage", "--until", "2026-01-02").splitlines() == [header, old]
    assert run("usage", "--since", "2026-01-03").splitlines() == [header, new]
    assert "exchange them" in run("usage", "--since", "2026-02-01", "--until", "2026-01-01", status=2)
