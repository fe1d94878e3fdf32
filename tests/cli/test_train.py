"""`lipe train` against a real server: a subject and its prior come of files, and a refusal leaves nothing there."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from client import Client
from ledger import attempts, images, subjects
from ledger.artefacts import NewArtefact
from ledger.attempts import Progress
from ledger.database import UnitOfWork
from ledger.models import Job, Project
from ledger.storage import Storage, attempt_prefix
from tests.cli.test_edit import environment, lipe, working  # noqa: F401
from tests.support.uploads import png
from tests.support.waiting import eventually


@pytest.fixture
def rex(tmp_path: Path) -> list[Path]:
    """Three reference files."""
    files = [tmp_path / f"rex-{colour}.png" for colour in ("red", "green", "blue")]
    for file in files:
        file.write_bytes(png(file.stem.removeprefix("rex-")))
    return files


def test_files_become_a_subject_with_a_prior_and_previews_are_saved(
    begin: UnitOfWork, storage: Storage, lipe: Client, rex: list[Path], tmp_path: Path,  # noqa: F811
) -> None:  # fmt: skip
    captions, album = tmp_path / "captions.txt", tmp_path / "new" / "album"
    captions.write_text("sks dog on grass\n\nsks dog asleep\n")

    def act(job: Job) -> None:
        with begin() as session:
            claim = attempts.claim(session, job.id, "worker-1", lease_seconds=60)
        assert claim
        prefix = attempt_prefix(job.project_id, job.id, claim.epoch)
        made = [
            NewArtefact(role, name, "image/png", storage.put(prefix, name, name.encode(), "image/png"))
            for role, name in (("adapter", "a"), ("manifest", "m"), ("preview", "p-1.png"), ("preview", "p-2.png"))
        ]
        with begin() as session:
            attempts.renew(session, claim, Progress("training", 1, 2, preview=made[2]), lease_seconds=60)
        eventually((album / "p-1.png").exists, seconds=60)  # while it runs
        assert not (album / "p-2.png").exists()
        with begin() as session:
            assert attempts.finish(session, claim, made, resolved={}, metrics={}, manifest={})

    with working(begin, act, "prior"):
        result = run(
            *rex, "--class", "dog", "--name", "Rex", "--token", "rex", "--captions", captions, "--previews", album,
            "--parameter", "steps=5", "--parameter", "tuning=lora", "--regularization", "count=3",
        )  # fmt: skip
    assert result.exit_code == 0, result.output
    (job,), (subject,) = lipe.jobs(), lipe.subjects()
    assert result.stdout == f"subject {subject.id}\nprior {job.prior_id}\n"
    assert (subject.name, subject.class_noun, subject.token, subject.consent) == ("Rex", "dog", "rex", False)
    assert [reference.caption for reference in subject.references] == ["sks dog on grass", None, "sks dog asleep"]
    assert job.parameters == {
        "prior": {"steps": 5, "tuning": "lora"}, "regularization": {"count": 3}, "previews": 4,
    }  # fmt: skip
    assert {file.name: file.read_bytes() for file in album.iterdir()} == {"p-1.png": b"p-1.png", "p-2.png": b"p-2.png"}


def test_a_subject_that_is_there_is_learnt_again_without_waiting(lipe: Client, rex: list[Path]) -> None:  # noqa: F811
    first = run(*rex, "--class", "man", "--consent", "--no-wait")
    assert first.exit_code == 0, first.output
    subject = first.stdout.split()[1]
    assert lipe.subject(subject).consent
    second = run("--subject", subject, "--no-wait")
    assert second.stdout.split()[:2] == ["subject", subject]
    assert [job.parameters["previews"] for job in lipe.jobs()] == [0, 0]
    assert [job.prior_id for job in lipe.jobs()] == [second.stdout.split()[3], first.stdout.split()[3]]


def test_a_job_that_fails_says_why(begin: UnitOfWork, rex: list[Path]) -> None:
    def fail(job: Job) -> None:
        with begin() as session:
            claim = attempts.claim(session, job.id, "worker-1", lease_seconds=60)
            assert claim
            attempts.finish_failed(session, claim, "training_diverged", "lower the learning rate", {})

    with working(begin, fail, "prior"):
        result = run(*rex, "--class", "dog")
    assert result.exit_code == 1
    assert "training_diverged: lower the learning rate" in result.stderr


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("--class", "man"), "consent_required"),
        (("--class", "dog", "--parameter", "steps=0"), "invalid_request: parameters.steps"),
        (("--class", "dog", "--regularization", "momentum=1"), "invalid_request: regularization.momentum"),
        (("--class", "dog", "--token", "dog"), "the token is the class noun"),
    ],
)
def test_what_the_service_refuses_leaves_nothing_there(
    begin: UnitOfWork, project: Project, rex: list[Path], asked: tuple[str, ...], said: str
) -> None:
    result = run(*rex, *asked)
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr
    with begin() as session:
        assert images.listing(session, project.id).rows == []
        assert subjects.listing(session, project.id).rows == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ((), "give either reference pictures and --class, or --subject"),
        (("--class", "dog"), "give either reference pictures and --class, or --subject"),
        (("rex",), "give either reference pictures and --class, or --subject"),
        (("rex", "--class", "dog", "--subject", "sub_1"), "give either reference pictures"),
        (("--subject", "sub_1", "--class", "dog"), "give either reference pictures"),
        (("--subject", "sub_1", "--consent"), "belong to a new subject"),
        (("rex", "--class", "dog", "--captions", "two"), "has 2 lines: write one for each of the 3 pictures"),
        (("rex", "--class", "dog", "--captions", "none"), "cannot read"),
        (("rex", "--class", "dog", "--parameter", "steps"), "--parameter 'steps': write name=value"),
        (("rex", "--class", "dog", "--api-key", ""), "give an API key"),
    ],
)
def test_what_contradicts_itself_is_refused_before_anything_is_sent(
    rex: list[Path], tmp_path: Path, asked: tuple[str, ...], said: str
) -> None:
    (tmp_path / "two").write_text("one\ntwo\n")
    files = {"rex": rex, "two": [tmp_path / "two"], "none": [tmp_path / "none"]}
    result = run(*(word for name in asked for word in files.get(name, [name])))
    assert result.exit_code == 2
    assert said in " ".join(result.output.replace("│", "").split())


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(app, ["train", *map(str, arguments)])
