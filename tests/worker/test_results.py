"""The results of an edit are stored one by one, and an attempt that ends before the last one loses only the rest."""

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from ledger import artefacts, jobs, transitions
from ledger.database import UnitOfWork
from ledger.models import Edit as EditRow
from ledger.models import Image as ImageRow
from ledger.models import Job, Project, Subject
from ledger.states import State
from ledger.storage import Storage, attempt_prefix, image_prefix, job_prefix
from lipe_core.methods.registry import METHODS
from lipe_core.methods.request import Edit, EditImages, EditRequest
from tests.support.factories import current, edit, verified
from tests.support.live_images import count_images
from tests.support.running import run_job
from worker import attempt, output_format
from worker.context import WorkerContext
from worker.output_format import OutputFormat
from worker.results import ENCODERS, ResultStore, encode, result_roles

pytestmark = pytest.mark.usefixtures("reports_are_written")
ROLES = ("image", "source_mask", "edit_mask")
PROMPTS = [f"a photo of sks dog {action}" for action in ("jumping", "sitting", "lying", "running")]
PHOTO = (4032, 3024)


class Killed(BaseException):
    """The process dies."""


def test_after_a_death_the_next_attempt_makes_only_the_missing_results(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    job = edit(begin, storage, project, subject, None, method="sdedit", prompts=PROMPTS)
    with_seeds(begin, job, [7, 8])
    with monkeypatch.context() as patch:
        before_result(patch, 4, kill)
        with pytest.raises(Killed):
            run_job(context, job.id)
    with begin() as session:
        assert artefacts.of_job(session, project.id, job.id) == []
        transitions.requeue(session, session.get_one(Job, job.id), charge=True)
    asked = watched_requests(monkeypatch, "sdedit")
    run_job(context, job.id)
    done = current(begin, job)
    assert (done.state, done.attempt, done.partial) == (State.SUCCEEDED, 2, {})
    assert [request.target_prompts for request in asked] == [tuple(PROMPTS[1:])]
    made = verified(begin, storage, job)
    assert [file.name for file in made] == [f"{role}-{k}.png" for k in range(1, 9) for role in ROLES]
    assert [file.details for file in made[::3]] == [
        {"target_prompt": prompt, "seed": seed} for prompt in PROMPTS for seed in (7, 8)
    ]
    first = attempt_prefix(project.id, job.id, 1)
    assert [file.key.startswith(first) for file in made] == [True] * 9 + [False] * 15
    assert set(storage.keys(job_prefix(project.id, job.id))) == {file.key for file in made}
    assert done.resolved["target_prompts"] == PROMPTS
    uninterrupted = edit(begin, storage, project, subject, None, method="sdedit", prompts=PROMPTS)
    with_seeds(begin, uninterrupted, [7, 8])
    run_job(context, uninterrupted.id)
    assert done.resolved == current(begin, uninterrupted).resolved


def test_results_of_other_settings_are_made_again(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    job = edit(begin, storage, project, subject, None, method="ddim", prompts=PROMPTS[:2])
    with monkeypatch.context() as patch:
        before_result(patch, 2, kill)
        with pytest.raises(Killed):
            run_job(context, job.id)
    with begin() as session:
        row = session.get_one(Job, job.id)
        row.parameters = row.parameters | {"ddim": {"steps": 2}}  # as if the recipe had changed
        transitions.requeue(session, row, charge=True)
    run_job(context, job.id)
    second = attempt_prefix(project.id, job.id, 2)
    made = verified(begin, storage, job)
    assert [file.key.startswith(second) for file in made] == [True] * 6
    assert set(storage.keys(job_prefix(project.id, job.id))) == {file.key for file in made}


def test_the_files_have_the_requested_format(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    job = edit(begin, storage, project, subject, None, method="sdedit", prompts=PROMPTS[:1])
    with begin() as session:
        row = session.get_one(Job, job.id)
        row.parameters = row.parameters | {"output_format": "jpeg", "include": ["uncomposited"]}
    run_job(context, job.id)
    made = verified(begin, storage, job)
    assert [(file.name, file.content_type) for file in made] == [
        ("image-1.jpg", "image/jpeg"),
        ("source_mask-1.png", "image/png"),
        ("edit_mask-1.png", "image/png"),
        ("uncomposited-1.jpg", "image/jpeg"),
    ]
    assert [Image.open(io.BytesIO(storage.get(file.key, file.sha256))).format for file in made] == [
        "JPEG", "PNG", "PNG", "JPEG",
    ]  # fmt: skip
    resolved = current(begin, job).resolved
    assert (resolved["output_format"], resolved["output_quality"]) == ("jpeg", 90)


def test_a_draining_worker_leaves_its_results_to_the_next(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    job, drains = edit(begin, storage, project, subject, None, method="ddim", prompts=PROMPTS), list[bool]()
    with monkeypatch.context() as patch:
        before_result(patch, 3, lambda: drains.append(True))
        run_job(replace(context, draining=lambda: bool(drains)), job.id)
    assert (current(begin, job).state, set(current(begin, job).partial["files"])) == (State.QUEUED, {"1", "2"})
    asked = watched_requests(monkeypatch, "ddim")
    run_job(context, job.id)
    assert [request.target_prompts for request in asked] == [tuple(PROMPTS[2:])]
    assert len(verified(begin, storage, job)) == 4 * 3


def test_nothing_is_generated_if_only_the_success_was_not_written(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    job = edit(begin, storage, project, subject, None, method="ddim", prompts=PROMPTS[:2])
    with monkeypatch.context() as patch:
        patch.setattr("worker.run_job._succeed", lambda *arguments: kill())
        with pytest.raises(Killed):
            run_job(context, job.id)
    with begin() as session:
        transitions.requeue(session, session.get_one(Job, job.id), charge=True)
    asked = watched_requests(monkeypatch, "ddim")
    run_job(context, job.id)
    assert asked == []
    assert current(begin, job).resolved["evaluations"] > 0
    assert len(verified(begin, storage, job)) == 2 * 3


def test_a_cancel_between_two_results_leaves_none(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    job = edit(begin, storage, project, subject, None, method="ddim", prompts=PROMPTS[:3])

    def cancel() -> None:
        with begin() as session:
            jobs.cancel(session, project.id, job.id)

    before_result(monkeypatch, 2, cancel)
    run_job(context, job.id)
    assert (current(begin, job).state, current(begin, job).partial) == (State.CANCELED, {})
    assert list(storage.keys(job_prefix(project.id, job.id))) == []


def test_the_results_of_a_photo_are_in_memory_one_at_a_time(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Without the bound there are 32 images of results, and a death before the end loses all of them."""
    job = edit(begin, storage, project, subject, None, prompts=[*PROMPTS, *(f"{prompt} again" for prompt in PROMPTS)])
    give_photo(begin, storage, job)
    count, alive, reports = count_images(monkeypatch, PHOTO), list[int](), list[tuple[int, int]]()
    report = attempt.Attempt.report

    def corner(output_format: OutputFormat, image: Image.Image) -> bytes:
        """A corner of the image, because encoding 32 photos takes a minute."""
        assert image.size == PHOTO
        alive.append(count())
        return image.crop((0, 0, 8, 8)).tobytes()

    def watched(attempt: attempt.Attempt, stage: str, step: int, total: int, **details: Any) -> None:
        if stage == "storing" and reports[-1:] != [(step, total)]:
            reports.append((step, total))
        report(attempt, stage, step, total, **details)

    monkeypatch.setattr(OutputFormat, "encode", corner)
    monkeypatch.setattr(attempt.Attempt, "report", watched)
    run_job(context, job.id)
    assert (current(begin, job).state, current(begin, job).error_detail) == (State.SUCCEEDED, None)
    assert reports == [(k, 8) for k in range(9)]
    assert len(alive) == 8 * len(ROLES)
    assert max(alive) == 1 + len(EditImages._fields)  # the source and one result


def test_a_photo_is_encoded_with_a_moderate_effort_by_two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    levels = list[int]()
    save = Image.Image.save

    def watched(image: Image.Image, file: io.BytesIO, format: str, **options: Any) -> None:
        levels.append(options["compress_level"])
        save(image, file, format, **options)

    def make(mode: str) -> Callable[[], Image.Image]:
        return lambda: Image.effect_noise((40, 30), 60).convert(mode)

    noisy = Edit("", 0, make("RGB"), make("L"), make("L"), None, {}, 1, {})
    monkeypatch.setattr(Image.Image, "save", watched)
    contents = encode(noisy, OutputFormat(), EditImages._fields).contents
    decoded = [Image.open(io.BytesIO(content)) for content in contents]
    assert [image.mode for image in decoded] == ["RGB", "L", "L", "RGB"]
    assert levels == [output_format.PNG_COMPRESSION] * 4
    assert ENCODERS <= 2


def test_a_result_has_what_the_request_includes() -> None:
    assert result_roles({}) == ROLES
    assert result_roles({"include": ["uncomposited"]}) == EditImages._fields


def kill() -> None:
    raise Killed


def before_result(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], None]) -> None:
    """Call `act` before the result of this number is stored; the attempt learns at once what it must do."""
    store = ResultStore._store

    def watched(results: ResultStore, current: int, made: Edit) -> Any:
        if current == number:
            act()
            results.attempt._next_renewal = 0.0
            results.attempt.renew_lease()
        return store(results, current, made)

    monkeypatch.setattr(ResultStore, "_store", watched)


def watched_requests(monkeypatch: pytest.MonkeyPatch, name: str) -> list[EditRequest]:
    """The requests that the method gets from now on."""
    asked, method = list[EditRequest](), METHODS[name]

    def watched(model: Any, request: EditRequest, config: Any, **options: Any) -> list[Edit]:
        asked.append(request)
        return method.edit(model, request, config, **options)

    monkeypatch.setattr("worker.edit.METHODS", {**METHODS, name: method._replace(edit=watched)})
    return asked


def with_seeds(begin: UnitOfWork, job: Job, seeds: list[int]) -> None:
    with begin() as session:
        row = session.get_one(Job, job.id)
        row.parameters = row.parameters | {"seeds": seeds}


def give_photo(begin: UnitOfWork, storage: Storage, job: Job) -> None:
    """Replace the image of the edit by a JPEG photo."""
    content = io.BytesIO()
    Image.effect_noise((126, 94), 60).resize(PHOTO).convert("RGB").save(content, "JPEG")
    with begin() as session:
        row = session.get_one(ImageRow, session.get_one(EditRow, job.edit_id).image_id)
        stored = storage.put(image_prefix(job.project_id, row.id), "photo.jpg", content.getvalue(), "image/jpeg")
        row.key, row.sha256, row.width, row.height = stored.key, stored.sha256, *PHOTO
