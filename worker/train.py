"""A prior job: the subject's references in, an adapter with its manifest out."""

import hashlib
import io
import json
import logging
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from PIL import Image
from safetensors import SafetensorError

from ledger import jobs, subjects
from ledger.artefacts import NewArtefact
from ledger.models import Subject
from lipe_core import sdxl, subject
from lipe_core.adapters import prior
from lipe_core.adapters.prior import Manifest
from lipe_core.captioning import captions
from lipe_core.captioning.captions import Category
from lipe_core.captioning.class_prompts import MOST_PROMPTS, write_class_prompts
from lipe_core.errors import ClassPromptsError, InvalidCheckpoint
from lipe_core.recipe import load_recipe
from lipe_core.sdxl import BaseModel
from lipe_core.training.config import PriorConfig
from lipe_core.training.dataset import EncodedSet
from lipe_core.training.references import encode_references
from lipe_core.training.regularization import RegularizationConfig, regularization_set
from lipe_core.training.train import TrainingResult, learn_prior
from worker.attempt import Attempt, ClaimLost, File, JobResult
from worker.captioner import captioner
from worker.context import WorkerContext
from worker.gpu import reduced_memory, with_memory_fallbacks
from worker.previews import PreviewGenerator, preview_uploads

log = logging.getLogger(__name__)


def learn(process: WorkerContext, attempt: Attempt) -> JobResult:
    """Learn the job's prior, from the last attempt's checkpoint where there is one."""
    model = process.gpu.base_model()
    with attempt.stage("loading"):
        parameters, row, pictures = _load(process, attempt)
    who = subject.Subject(row.token, row.class_noun)
    recipe = load_recipe(model.checkpoint)
    config = recipe.prior_config(cast(Category, row.category), parameters.get("prior", {}))
    painting = recipe.regularization_config(parameters.get("regularization", {}))
    given = [reference.caption for reference in row.references]
    writer = None if all(caption and caption.strip() for caption in given) else process.caption_model
    with attempt.stage("captioning"):
        caption = captioner(writer, model, attempt.reporter("captioning"))
        samples = captions.identity_set(pictures, who, given, caption)
        identity = encode_references(model, samples, who, config)
    with attempt.stage("regularizing"):
        prompts, prompt_writer = _class_prompts(process, attempt, model, row, painting)
        regularization = regularization_set(
            model, prompts, painting,
            cache=process.settings.data_dir / "regularization", on_step=attempt.reporter("regularizing"),
        )  # fmt: skip
    with attempt.stage("training"), preview_uploads(process.storage, attempt) as previews:
        painter = PreviewGenerator(previews, model, samples[0].caption, painting, parameters.get("previews", 0))
        learned = _train(process, attempt, model, identity, regularization, config, who.token, painter)
    manifest = Manifest(
        token=who.token,
        class_noun=who.class_noun,
        base_model=process.gpu.name,
        revision=model.revision,
        fingerprint=model.fingerprint,
        captions=tuple(sample.caption for sample in samples),
        class_prompts=tuple(prompts),
        captioner=writer.name if writer else None,
        prompt_writer=prompt_writer,
        config={"prior": asdict(config), "regularization": asdict(painting)},
        losses=learned.losses,
    )
    return _made(learned, manifest, previews.stored)


def forget_checkpoints(process: WorkerContext) -> None:
    """Delete the checkpoints of jobs that are over, whoever left them."""
    for file in process.checkpoints.glob("*.safetensors"):
        with process.begin() as session:
            over = jobs.is_over(session, file.name.split(".")[0])
        if over:
            file.unlink(missing_ok=True)


def _load(process: WorkerContext, attempt: Attempt) -> tuple[dict[str, Any], Subject, list[Image.Image]]:
    with process.begin() as session:
        job = jobs.get(session, attempt.claim.project_id, attempt.claim.job_id)
        row = subjects.get(session, job.project_id, job.subject_id) if job is not None else None
    if job is None or row is None:
        raise ClaimLost
    pictures = []
    for number, reference in enumerate(row.references, start=1):
        content = attempt.retry_storage(partial(process.storage.get, reference.image.key, reference.image.sha256))
        pictures.append(Image.open(io.BytesIO(content)).convert("RGB"))
        attempt.report("loading", number, len(row.references))
    return job.parameters, row, pictures


def _class_prompts(
    process: WorkerContext, attempt: Attempt, model: BaseModel, row: Subject, painting: RegularizationConfig
) -> tuple[list[str], str | None]:
    """Action prompts for the class, and the language model that wrote them: None where they are the built-in bank's."""
    endpoint, cache = process.prompt_writer, process.settings.data_dir / "class_prompts"
    if endpoint is not None and painting.count <= MOST_PROMPTS:
        try:
            write = partial(write_class_prompts, endpoint, row.class_noun, painting.count, cache=cache)
            return attempt.run_in_thread(write), endpoint.model
        except ClassPromptsError as error:
            log.warning("job %s: the built-in class prompts are taken: %s", attempt.claim.job_id, error)
    category, knows = cast(Category, row.category), partial(sdxl.knows, model)
    return captions.class_prompts(row.class_noun, painting.count, painting.seed, category, knows), None


def _train(
    process: WorkerContext,
    attempt: Attempt,
    model: BaseModel,
    identity: tuple[EncodedSet, ...],
    regularization: EncodedSet,
    config: PriorConfig,
    token: str,
    painter: PreviewGenerator,
) -> TrainingResult:
    # What is learnt from is in the name, since weights that were tuned on something else must not be continued: another
    # base model, or other words, where the captioner or the prompt writer answers differently by now.
    words = [part.captions for part in (*identity, regularization)]
    lesson = hashlib.sha256(json.dumps([model.fingerprint, words]).encode()).hexdigest()[:12]
    checkpoint = process.checkpoints / f"{attempt.claim.job_id}.{lesson}.safetensors"

    def run(rows_at_once: int | None = None) -> TrainingResult:
        return learn_prior(
            model, identity, regularization, config, token=token, checkpoint=checkpoint, rows_at_once=rows_at_once,
            on_step=lambda step, steps, loss: attempt.report("training", step, steps, loss=round(loss, 5)),
            on_preview=painter.generate, preview_every=painter.interval(config.steps),
        )  # fmt: skip

    def resumed(rows_at_once: int | None = None) -> TrainingResult:
        try:
            return run(rows_at_once)
        except (InvalidCheckpoint, SafetensorError):
            checkpoint.unlink()  # other settings, or cut off by a power failure: begin anew
            return run(rows_at_once)

    def leanly() -> TrainingResult:
        with reduced_memory(model):
            return resumed()

    def row_by_row() -> TrainingResult:
        with reduced_memory(model):
            return resumed(rows_at_once=1)

    return with_memory_fallbacks([resumed, leanly, row_by_row])


def _made(learned: TrainingResult, manifest: Manifest, previews: list[NewArtefact]) -> JobResult:
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "prior"
        manifest = prior.save_prior(learned.adapter, manifest, folder).manifest
        files = [
            File("adapter", prior.ADAPTER, "application/octet-stream", (folder / prior.ADAPTER).read_bytes()),
            File("manifest", prior.MANIFEST, "application/json", (folder / prior.MANIFEST).read_bytes()),
        ]
    resolved = {
        "base_model": manifest.base_model,
        "revision": manifest.revision,
        "fingerprint": manifest.fingerprint,
        "adapter_sha256": manifest.adapter_sha256,
        "captions": list(manifest.captions),
        "captioner": manifest.captioner,
        "prompt_writer": manifest.prompt_writer,
        **manifest.config,
    }
    return JobResult(files, resolved, asdict(manifest), previews)
