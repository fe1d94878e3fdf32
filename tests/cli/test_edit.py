"""`lipe edit` against a real server: it saves the results; a refusal is one line and leaves no images behind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from sqlalchemy import select
from typer.testing import CliRunner, Result

from api.method_parameters import Method as ApiMethod
from cli.main import app
from ledger import attempts, images
from ledger.database import UnitOfWork
from ledger.models import Edit, Job, Project
from lipe_client import Client, Method, Subject
from tests.support.file_server import serving
from tests.support.job_worker import job_worker
from tests.support.uploads import photo, png

PROMPT = "a photo of sks dog jumping"


pytestmark = pytest.mark.usefixtures("service_environment")


@pytest.fixture
def rex(lipe: Client) -> Subject:
    """A dog with three references."""
    references = [lipe.upload_image(png(colour)) for colour in ("red", "green", "blue")]
    return lipe.create_subject(name="Rex", class_noun="dog", references=references)


@pytest.fixture
def park(tmp_path: Path) -> Path:
    """The source image's file."""
    file = tmp_path / "park.png"
    file.write_bytes(png("white"))
    return file


def test_the_methods_are_those_of_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")  # so that the names share one line with no other column's text
    assert get_args(Method) == get_args(ApiMethod)
    shown = "".join(run("--help").output.split()).replace("│", "")
    assert all(method in shown for method in get_args(Method))
    assert "--use-prior" in shown
    assert "--no-prior" in shown


@pytest.mark.usefixtures("fetcher")
def test_the_image_may_be_a_url(
    begin: UnitOfWork, rex: Subject, tmp_path: Path, work: Callable[..., None], lipe: Client
) -> None:
    files = [("image", {"target_prompt": PROMPT, "seed": 1})]
    with serving({"/park.avif": photo("AVIF")}) as server, job_worker(begin, lambda job: work(job.id, files)):
        options = ("--subject", rex.id, "--prompt", PROMPT, "--method", "sdedit", "--no-prior", "--out", tmp_path)
        result = run(f"{server.url}/park.avif", *options)
    assert result.exit_code == 0, result.output
    assert len(list(lipe.images())) == 4


def test_every_option_reaches_the_edit_and_the_results_come_back(
    begin: UnitOfWork, rex: Subject, park: Path, tmp_path: Path, work: Callable[..., None]
) -> None:
    files = [("image", {"target_prompt": PROMPT, "seed": seed}) for seed in (1, 2)]
    with job_worker(begin, lambda job: work(job.id, files)):
        result = run(
            park,
            "--subject",
            rex.id,
            "--prompt",
            PROMPT,
            "--method",
            "sdedit",
            "--no-prior",
            "--mask",
            park,
            "--source-prompt",
            "sks dog",
            "--parameter",
            "strength=0.5",
            "--negative-prompt",
            "blurry",
            "--preset",
            "fast",
            "--seed",
            "1",
            "--seed",
            "2",
            "--format",
            "webp",
            "--quality",
            "70",
            "--out",
            tmp_path / "new" / "folder",
        )
    assert result.exit_code == 0, result.output
    with begin() as session:
        edit, job = session.scalars(select(Edit)).one(), session.scalars(select(Job)).one()
    assert (edit.method, edit.prior_id, edit.source_prompt) == ("sdedit", None, "sks dog")
    assert edit.mask_image_id is not None
    assert job.parameters == {
        "sdedit": {"strength": 0.5}, "choices": {"preset": "fast"}, "negative_prompt": "blurry", "seeds": [1, 2],
        "output_format": "webp", "output_quality": 70,
    }  # fmt: skip
    saved = [tmp_path / "new" / "folder" / f"{edit.id}-{number}.png" for number in (1, 2)]
    assert result.stdout.split() == [str(file) for file in saved]
    assert [file.read_bytes() for file in saved] == [b"image", b"image"]


def test_the_subjects_newest_prior_is_the_default(
    begin: UnitOfWork, lipe: Client, rex: Subject, park: Path, tmp_path: Path, work: Callable[..., None]
) -> None:
    training = lipe.train_prior(rex)
    work(training.id)
    files = [("image", {"target_prompt": PROMPT, "seed": 1})]
    with job_worker(begin, lambda job: work(job.id, files)):
        assert run(park, "--subject", rex.id, "--prompt", PROMPT, "--out", tmp_path).exit_code == 0
    with begin() as session:
        edit = session.scalars(select(Edit)).one()
    assert (edit.method, edit.prior_id) == ("nima", training.prior_id)


def test_a_dry_run_prices_the_edit_and_keeps_nothing(lipe: Client, rex: Subject, park: Path) -> None:
    options = (park, "--subject", rex.id, "--no-prior", "--prompt", PROMPT, "--seed", 1, "--seed", 2, "--mask", park)
    result = run(*options, "--preset", "best", "--dry-run")
    assert result.exit_code == 0, result.output
    lines = set(result.stdout.splitlines())
    assert {"images    2", "queue     place 1", "seeds=[1, 2]", "nima:", "  steps=40", "  preset=best"} <= lines
    assert (len(list(lipe.images())), list(lipe.jobs()), list(lipe.edits())) == (3, [], [])
    refused = run(*options, "--parameter", "steps=0", "--dry-run")
    assert (refused.exit_code, refused.stdout, len(list(lipe.images()))) == (1, "", 3)
    assert "invalid_request: parameters.steps" in refused.stderr


def test_a_job_that_fails_says_why(begin: UnitOfWork, rex: Subject, park: Path) -> None:
    def fail(job: Job) -> None:
        with begin() as session:
            claim = attempts.claim(session, job.id, "worker-1", lease_seconds=60)
            assert claim
            attempts.finish_failed(session, claim, "gpu_out_of_memory", "too large", {})

    with job_worker(begin, fail):
        result = run(park, "--subject", rex.id, "--prompt", PROMPT, "--no-prior")
    assert result.exit_code == 1
    assert "gpu_out_of_memory: too large" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--prompt", "a cat", "--no-prior"), "prompt_without_subject: write 'sks dog' in the prompt 'a cat'"),
        (("--prompt", PROMPT), "prior_not_ready"),
        (("--prompt", PROMPT, "--no-prior", "--parameter", "steps=0"), "invalid_request: parameters.steps"),
        (("--prompt", PROMPT, "--no-prior", "--parameter", "steps=NaN"), "invalid_request: parameters.steps"),
        (("--prompt", PROMPT, "--no-prior", "--parameter", "momentum=[1]"), "invalid_request: parameters.momentum"),
        (("--prompt", PROMPT, "--no-prior", "--method", "ddim", "--seed", "1", "--seed", "2"), "draws no noise"),
    ],
)
def test_a_refused_edit_leaves_no_image_behind(
    begin: UnitOfWork, project: Project, rex: Subject, park: Path, options: tuple[str, ...], message: str
) -> None:
    result = run(park, "--subject", rex.id, *options)
    assert (result.exit_code, result.stdout) == (1, "")
    assert message in result.stderr
    with begin() as session:
        kept = {image.id for image in images.listing(session, project.id).rows}
    assert kept == {reference.image_id for reference in rex.references}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "either --subject or --prior"),
        (("--subject", "sub_1", "--prior", "pri_1"), "either --subject or --prior"),
        (("--prior", "pri_1", "--no-prior"), "--no-prior needs --subject"),
        (("--subject", "sub_1", "--method", "dreamctrl", "--no-prior"), "another --method than dreamctrl"),
        (("--subject", "sub_1", "--mix-weight", "0.5"), "--mix-weight needs --mix"),
        (("--subject", "sub_1", "--mix", "pri_1", "--no-prior"), "--no-prior leaves nothing to mix"),
        (("--subject", "sub_1", "--quality", "80"), "png has no --quality"),
        (("--subject", "sub_1", "--format", "gif"), "'gif' is not one of 'png', 'jpeg', 'webp'"),
        (("--subject", "sub_1", "--format", "jpeg", "--quality", "0"), "--quality"),
        (("--subject", "sub_1", "--method", "magic"), "'magic' is not one of 'nima'"),
        (("--subject", "sub_1", "--parameter", "steps"), "write name=value"),
        (("--subject", "sub_1", "--seed", "-1"), "greater than or equal to 0"),
        (("--subject", "sub_1", "--mask", "/none.png"), "does not exist"),
        (("--subject", "sub_1", "--api-key", "lïpe"), "give an API key"),
    ],
)
def test_contradictory_options_are_refused_before_a_request(park: Path, options: tuple[str, ...], message: str) -> None:
    result = run(park, "--prompt", PROMPT, *options)
    assert result.exit_code == 2
    assert message in result.output


def test_a_wrong_key_and_an_unreachable_service_are_reported(park: Path) -> None:
    options = (park, "--prompt", PROMPT, "--subject", "sub_1")
    assert "unauthenticated" in run(*options, "--api-key", "lipe_wrong").stderr
    for url in ("http://127.0.0.1:9", "127.0.0.1"):
        result = run(*options, "--url", url)
        assert result.exit_code == 1
        assert f"cannot reach {url}" in result.stderr


def test_an_edit_needs_either_a_prompt_or_an_action(lipe: Client, rex: Subject, park: Path) -> None:
    for options in ((), ("--prompt", PROMPT, "--action", "jumping")):
        refused = run(park, "--subject", rex.id, *options)
        assert (refused.exit_code, "give either --prompt or --action" in refused.stderr) == (2, True)
    dry = run(park, "--subject", rex.id, "--no-prior", "--action", "jumping", "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "action" in dry.stdout
    assert len(list(lipe.images())) == 3


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(app, ["edit", *map(str, arguments)])
