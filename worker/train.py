"""A prior job: the subject's references in, an adapter with its manifest out."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from PIL import Image
from safetensors import SafetensorError

from ledger import jobs, subjects
from ledger.artefacts import NewArtefact
from ledger.models import Subject as SubjectRow
from lipe_core.adapters.prior import ADAPTER, MANIFEST, Prior, save_prior
from lipe_core.backbone import BaseModel
from lipe_core.captioning.class_prompts import ClassPrompts
from lipe_core.captioning.prompt_writer import MOST_PROMPTS, write_class_prompts
from lipe_core.diffusion.ddim import OnStep
from lipe_core.errors import ClassPromptsError, InvalidCheckpoint
from lipe_core.recipe import load_recipe
from lipe_core.subject import Category, Subject
from lipe_core.training.config import PriorConfig
from lipe_core.training.learn import LearnRequest, TrainingSet, prepare, train_prior
from lipe_core.training.train import TrainingRun
from worker.attempt import Attempt, ClaimLost
from worker.captioner import captioner, load_captioner
from worker.checkpoints import fetch, uploaded
from worker.context import WorkerContext
from worker.gpu import reduced_memory, with_memory_fallbacks
from worker.job_result import File, JobResult
from worker.job_warnings import check_captions, check_images
from worker.policy import allows_preview
from worker.previews import PreviewGenerator, preview_uploads
from worker.shared_sets import sets_for
from worker.snapshots import SnapshotStore, snapshot_count, training_name, with_snapshots

log = logging.getLogger(__name__)


def learn(context: WorkerContext, attempt: Attempt) -> JobResult:
    """Learn the job's prior. Training resumes from an earlier attempt's checkpoint if there is one."""
    model = context.gpu.base_model()
    with attempt.stage("loading"):
        parameters, row, images = _load(context, attempt)
    check_images(context, attempt, images)
    request = _request(context, attempt, model, row, images)
    recipe = load_recipe(model.checkpoint, context.settings.recipe)
    own = parameters.get("regularization", {})
    regularization = recipe.regularization_config(own)
    training_set = prepare(
        model,
        request,
        recipe.prior_config(request.category, parameters.get("prior", {}), parameters.get("choices", {})),
        regularization,
        cache=context.settings.data_dir / "regularization",
        shared=sets_for(context, attempt, row.class_noun, own),
        stage=partial(_stage, attempt),
    )
    check_captions(context, attempt, images, training_set.captions, request.subject)
    may_show = partial(allows_preview, context, attempt)
    with attempt.stage("training"), preview_uploads(context.storage, attempt, may_show) as previews:
        count = parameters.get("previews", 0)
        generator = PreviewGenerator(previews, model, training_set.captions[0], regularization, count)
        snapshots = SnapshotStore(context, attempt, training_name(training_set, model))
        run = _run(attempt, parameters, training_set.config, generator, snapshots)
        prior = _train(context, attempt, model, training_set, run)
    resolved = {
        "choices": parameters.get("choices", {}),
        "references": [reference.image_id for reference in row.references],
    }
    return with_snapshots(prior_result(prior, resolved, previews.stored), snapshots)


def _load(context: WorkerContext, attempt: Attempt) -> tuple[dict[str, Any], SubjectRow, list[Image.Image]]:
    """The job's parameters, its subject and its images. Raises ClaimLost if job or subject no longer exist."""
    with context.begin() as session:
        job = jobs.get(session, attempt.claim.project_id, attempt.claim.job_id)
        row = subjects.get(session, job.project_id, job.subject_id) if job is not None else None
    if job is None or row is None:
        raise ClaimLost
    images = []
    for number, reference in enumerate(row.references, start=1):
        content = attempt.retry_storage(partial(context.input, reference.image.key, reference.image.sha256))
        images.append(Image.open(io.BytesIO(content)).convert("RGB"))
        attempt.report("loading", number, len(row.references))
    return job.parameters, row, images


def _request(
    context: WorkerContext, attempt: Attempt, model: BaseModel, row: SubjectRow, images: list[Image.Image]
) -> LearnRequest:
    captions = tuple(reference.caption for reference in row.references)
    has_all_captions = all(caption and caption.strip() for caption in captions)
    caption_model = None if has_all_captions else context.caption_model
    load_captioner(attempt, caption_model, model)
    return LearnRequest(
        subject=Subject(row.token, row.class_noun),
        references=tuple(images),
        category=cast(Category, row.category),
        captions=captions,
        captioner=captioner(caption_model, model, attempt.reporter("captioning")),
        captioner_name=caption_model.name if caption_model else None,
        prompt_writer=partial(_write_class_prompts, context, attempt),
    )


def _write_class_prompts(context: WorkerContext, attempt: Attempt, class_noun: str, count: int) -> ClassPrompts | None:
    """Class prompts from the language model of the settings; None if there is none or it fails."""
    endpoint, cache = context.prompt_writer, context.settings.data_dir / "class_prompts"
    if endpoint is None or count > MOST_PROMPTS:
        return None
    try:
        prompts = attempt.run_in_thread(partial(write_class_prompts, endpoint, class_noun, count, cache=cache))
    except ClassPromptsError as error:
        log.warning("job %s: the built-in class prompts are used: %s", attempt.claim.job_id, error)
        return None
    return ClassPrompts(tuple(prompts), endpoint.model)


@contextmanager
def _stage(attempt: Attempt, name: str) -> Iterator[OnStep]:
    with attempt.stage(name):
        yield attempt.reporter(name)


def _run(
    attempt: Attempt, parameters: dict[str, Any], config: PriorConfig, previews: PreviewGenerator, store: SnapshotStore
) -> TrainingRun:
    count = snapshot_count(parameters, config)
    return TrainingRun(
        on_step=lambda step, steps, loss: attempt.report("training", step, steps, loss=round(loss, 5)),
        on_preview=previews.generate,
        preview_every=previews.interval(config.steps),
        on_snapshot=partial(store.keep, steps=config.steps) if count else None,
        snapshots=count,
    )


def _train(
    context: WorkerContext, attempt: Attempt, model: BaseModel, training_set: TrainingSet, run: TrainingRun
) -> Prior:
    # The digest in the name keeps an attempt from resuming the weights of another training set: the base model, the
    # captioner or the prompt writer may have changed since.
    checkpoint = context.checkpoints / f"{attempt.claim.job_id}.{training_set.digest(model)}.safetensors"
    run = replace(run, checkpoint=checkpoint)

    def resumed(run: TrainingRun) -> Prior:
        try:
            return train_prior(model, training_set, run)
        except (InvalidCheckpoint, SafetensorError):
            checkpoint.unlink()  # other settings, or a file cut off by a power failure: train from the beginning
            return train_prior(model, training_set, run)

    def resumed_in_reduced_memory(run: TrainingRun) -> Prior:
        with reduced_memory(model):
            return resumed(run)

    row_by_row = replace(run, rows_at_once=1)
    fetch(context, attempt, checkpoint)
    with uploaded(context, attempt, checkpoint):
        return with_memory_fallbacks(
            [
                partial(resumed, run),
                partial(resumed_in_reduced_memory, run),
                partial(resumed_in_reduced_memory, row_by_row),
            ]
        )


def prior_result(prior: Prior, request: dict[str, Any], previews: list[NewArtefact]) -> JobResult:
    """The files and the settings of a prior, which are the same for one that is trained and one that is imported."""
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "prior"
        manifest = save_prior(prior.adapter, prior.manifest, folder).manifest
        files = [
            File("adapter", ADAPTER, "application/octet-stream", (folder / ADAPTER).read_bytes()),
            File("manifest", MANIFEST, "application/json", (folder / MANIFEST).read_bytes()),
        ]
    resolved = {
        "base_model": manifest.base_model,
        "revision": manifest.revision,
        "fingerprint": manifest.fingerprint,
        "adapter_sha256": manifest.adapter_sha256,
        "captions": list(manifest.captions),
        "captioner": manifest.captioner,
        "prompt_writer": manifest.prompt_writer,
        **request,
        **manifest.config,
    }
    return JobResult(files, resolved, asdict(manifest), previews)
