"""`lipe train` against a real server: it creates a subject and a prior; a refusal leaves neither behind."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from ledger import attempts, images, subjects
from ledger.artefacts import NewArtefact
from ledger.attempts import Progress
from ledger.database import UnitOfWork
from ledger.job_warnings import JobWarning
from ledger.models import Job, Project
from ledger.storage import Storage, attempt_prefix
from lipe_client import Client
from tests.support.job_worker import job_worker
from tests.support.uploads import png
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("service_environment")


@pytest.fixture
def rex(tmp_path: Path) -> list[Path]:
    """Three reference files."""
    files = [tmp_path / f"rex-{colour}.png" for colour in ("red", "green", "blue")]
    for file in files:
        file.write_bytes(png(file.stem.removeprefix("rex-")))
    return files


def test_files_become_a_subject_with_a_prior_and_the_previews_are_saved(
    begin: UnitOfWork,
    storage: Storage,
    lipe: Client,
    rex: list[Path],
    tmp_path: Path,
) -> None:
    captions, folder = tmp_path / "captions.txt", tmp_path / "new" / "folder"
    captions.write_text("sks dog on grass\n\nsks dog asleep\n")

    def run_job(job: Job) -> None:
        with begin() as session:
            claim = attempts.claim(session, job.id, "worker-1", lease_seconds=60)
        assert claim
        prefix = attempt_prefix(job.project_id, job.id, claim.epoch)
        files = [
            NewArtefact(role, name, "image/png", storage.put(prefix, name, name.encode(), "image/png"))
            for role, name in (("adapter", "a"), ("manifest", "m"), ("preview", "p-1.png"), ("preview", "p-2.png"))
        ]
        with begin() as session:
            attempts.warn(session, claim, [JobWarning("unlike_the_base_model", "2 of 3 images are unlike")])
            attempts.renew(session, claim, Progress("training", 1, 2, preview=files[2]), lease_seconds=60)
        eventually((folder / "p-1.png").exists, seconds=60)  # while it runs
        assert not (folder / "p-2.png").exists()
        with begin() as session:
            assert attempts.finish(session, claim, files, resolved={}, metrics={}, manifest={})

    with job_worker(begin, run_job, "prior"):
        result = run(
            *rex,
            "--class",
            "dog",
            "--name",
            "Rex",
            "--token",
            "rex",
            "--captions",
            captions,
            "--previews",
            folder,
            "--parameter",
            "steps=5",
            "--parameter",
            "tuning=lora",
            "--regularization",
            "count=3",
        )
    assert result.exit_code == 0, result.output
    assert "warning: 2 of 3 images are unlike (unlike_the_base_model)" in result.stderr
    (job,), (subject,) = lipe.jobs(), lipe.subjects()
    assert result.stdout == f"subject {subject.id}\nprior {job.prior_id}\n"
    assert (subject.name, subject.class_noun, subject.token, subject.consent) == ("Rex", "dog", "rex", None)
    assert [reference.caption for reference in subject.references] == ["sks dog on grass", None, "sks dog asleep"]
    assert job.parameters == {
        "prior": {"steps": 5, "tuning": "lora"},
        "regularization": {"count": 3},
        "previews": 4,
        "snapshots": None,
    }
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {"p-1.png": b"p-1.png", "p-2.png": b"p-2.png"}


def test_an_existing_subject_gets_a_second_prior_without_waiting(lipe: Client, rex: list[Path]) -> None:
    first = run(*rex, "--class", "man", "--consent-of", "Ada", "--consent-for", "tests", "--no-wait")
    assert first.exit_code == 0, first.output
    subject = first.stdout.split()[1]
    consent = lipe.subject(subject).consent
    assert consent is not None
    assert (consent.person, consent.state) == ("Ada", "valid")
    second = run("--subject", subject, "--no-wait")
    assert second.stdout.split()[:2] == ["subject", subject]
    assert [job.parameters["previews"] for job in lipe.jobs()] == [0, 0]
    assert [job.prior_id for job in lipe.jobs()] == [second.stdout.split()[3], first.stdout.split()[3]]


def test_a_dry_run_prices_the_training_and_keeps_nothing(lipe: Client, rex: list[Path]) -> None:
    result = run(*rex, "--class", "dog", "--preset", "fast", "--parameter", "rank=4", "--dry-run")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("estimate  unknown: the project has no finished job with prior")
    assert {"queue     place 1", "prior:", "  steps=250", "  rank=4"} <= set(lines)
    assert "regularization:" not in lines
    assert (list(lipe.subjects()), list(lipe.images()), list(lipe.jobs())) == ([], [], [])
    refused = run(*rex, "--class", "dog", "--parameter", "steps=0", "--dry-run")
    assert (refused.exit_code, refused.stdout, list(lipe.subjects()), list(lipe.images())) == (1, "", [], [])
    assert "invalid_request: parameters.steps" in refused.stderr

    kept = run(*rex, "--class", "dog", "--no-wait").stdout.split()[1]
    assert "queue     place 2" in run("--subject", kept, "--dry-run").stdout
    assert ([subject.id for subject in lipe.subjects()], len(list(lipe.images()))) == ([kept], 3)


def test_a_job_that_fails_says_why(begin: UnitOfWork, rex: list[Path]) -> None:
    def fail(job: Job) -> None:
        with begin() as session:
            claim = attempts.claim(session, job.id, "worker-1", lease_seconds=60)
            assert claim
            attempts.finish_failed(session, claim, "training_diverged", "lower the learning rate", {})

    with job_worker(begin, fail, "prior"):
        result = run(*rex, "--class", "dog")
    assert result.exit_code == 1
    assert "training_diverged: lower the learning rate" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--class", "man"), "consent_required"),
        (("--class", "dog", "--parameter", "steps=0"), "invalid_request: parameters.steps"),
        (("--class", "dog", "--regularization", "momentum=1"), "invalid_request: regularization.momentum"),
        (("--class", "dog", "--token", "dog"), "the token is the class noun"),
    ],
)
def test_a_refused_training_leaves_no_subject_and_no_images_behind(
    begin: UnitOfWork, project: Project, rex: list[Path], options: tuple[str, ...], message: str
) -> None:
    result = run(*rex, *options)
    assert (result.exit_code, result.stdout) == (1, "")
    assert message in result.stderr
    with begin() as session:
        assert images.listing(session, project.id).rows == []
        assert subjects.listing(session, project.id).rows == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "give either reference images and --class, or --subject"),
        (("--class", "dog"), "give either reference images and --class, or --subject"),
        (("rex",), "give either reference images and --class, or --subject"),
        (("rex", "--class", "dog", "--subject", "sub_1"), "give either reference images"),
        (("--subject", "sub_1", "--class", "dog"), "give either reference images"),
        (("--subject", "sub_1", "--not-a-person"), "belong to a new subject"),
        (("rex", "--class", "dog", "--captions", "two"), "has 2 lines: write one for each of the 3 images"),
        (("rex", "--class", "dog", "--captions", "none"), "cannot read"),
        (("rex", "--class", "dog", "--parameter", "steps"), "--parameter 'steps': write name=value"),
        (("rex", "--class", "dog", "--api-key", ""), "give an API key"),
    ],
)
def test_contradictory_options_are_refused_before_a_request(
    rex: list[Path], tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    (tmp_path / "two").write_text("one\ntwo\n")
    files = {"rex": rex, "two": [tmp_path / "two"], "none": [tmp_path / "none"]}
    result = run(*(word for name in options for word in files.get(name, [name])))
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", "").split())


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(app, ["train", *map(str, arguments)])
