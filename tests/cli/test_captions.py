"""`lipe captions` against a real server: it prints what was written, and keeps it for the next training."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from ledger import attempts
from ledger.database import UnitOfWork
from ledger.models import Job
from lipe_client import Client, Subject
from tests.support.job_worker import job_worker
from tests.support.uploads import png

pytestmark = pytest.mark.usefixtures("service_environment")


@pytest.fixture
def rex(lipe: Client) -> Subject:
    """A dog with three references."""
    references = [lipe.upload_image(png(colour)) for colour in ("red", "green", "blue")]
    return lipe.create_subject(name="Rex", class_noun="dog", references=references)


def write(begin: UnitOfWork, job: Job) -> None:
    """End a job as a worker would that describes all images alike."""
    prompt = f"a sks dog {action}" if (action := job.parameters.get("action")) else None
    phrases = [{"text": "asleep", "score": -4.25, "is_doubtful": True}]
    captions = [
        {"image_id": image_id, "caption": "a sks dog asleep", "phrases": phrases, "target_prompt": prompt}
        for image_id in job.parameters["image_ids"]
    ]
    with begin() as session:
        claim = attempts.claim(session, job.id, "w", lease_seconds=60)
        assert claim is not None
        assert attempts.finish(session, claim, [], resolved={"captions": captions}, metrics={})


def test_the_captions_of_the_references_are_printed_and_kept(begin: UnitOfWork, lipe: Client, rex: Subject) -> None:
    with job_worker(begin, lambda job: write(begin, job), kind="captions"):
        result = run(rex.id, "--save")
    assert result.exit_code == 0, result.output
    first = rex.references[0].image_id
    assert result.stdout.splitlines()[0] == f"{first} a sks dog asleep"
    assert f"doubtful in {first}: asleep (-4.2)" in result.stderr
    assert {reference.caption for reference in lipe.subject(rex).references} == {"a sks dog asleep"}


def test_another_image_with_an_action_gets_a_target_prompt(
    begin: UnitOfWork, lipe: Client, rex: Subject, tmp_path: Path
) -> None:
    (tmp_path / "park.png").write_bytes(png("white"))
    with job_worker(begin, lambda job: write(begin, job), kind="captions"):
        result = run(rex.id, tmp_path / "park.png", "--action", "jumping")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1].endswith("-> a sks dog jumping")
    assert len(list(lipe.images())) == 4
    assert {reference.caption for reference in lipe.subject(rex).references} == {None}


def test_a_mistake_is_one_sentence(rex: Subject, tmp_path: Path) -> None:
    (tmp_path / "park.png").write_bytes(png("white"))
    both = run(rex.id, tmp_path / "park.png", "--save")
    assert (both.exit_code, "leave the images out" in both.stderr) == (2, True)
    unknown = run("sub_" + "0" * 32)
    assert (unknown.exit_code, "not_found: " in unknown.stderr) == (1, True)


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(app, ["captions", *map(str, arguments)])
