"""A prior job: the subject's references in, an adapter with its manifest out."""

import io
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from PIL import Image
from safetensors import SafetensorError

from ledger import jobs, subjects
from ledger.subjects import Subject
from lipe_core import captions, dataset, prior, sdxl, subject
from lipe_core.captions import Category
from lipe_core.dataset import EncodedSet
from lipe_core.prior import Manifest
from lipe_core.recipe import recipe_of
from lipe_core.regularization import regularization_set
from lipe_core.sdxl import BaseModel
from lipe_core.train import InvalidCheckpoint, Learned, PriorConfig, learn_prior
from worker.claim import Attempt, File, Lost, Made
from worker.gpu import lean, leaner
from worker.process import Process


def learn(process: Process, attempt: Attempt) -> Made:
    """Learn the job's prior, from the last attempt's checkpoint where there is one."""
    model = process.gpu.base_model()
    with attempt.stage("loading"):
        parameters, row, pictures = _load(process, attempt)
    who = subject.Subject(row.token, row.class_noun)
    recipe = recipe_of(model.checkpoint)
    config = recipe.prior_config(parameters.get("prior", {}))
    painting = recipe.regularization_config(parameters.get("regularization", {}))
    with attempt.stage("captioning"):
        samples = captions.identity_set(pictures, who, [reference.caption for reference in row.references])
        identity = dataset.encode(model, samples)
    with attempt.stage("regularizing"):
        prompts = captions.class_prompts(
            row.class_noun, painting.count, painting.seed, cast(Category, row.category), partial(sdxl.knows, model)
        )
        regularization = regularization_set(
            model, prompts, painting,
            cache=process.settings.data_dir / "regularization", on_step=attempt.reporter("regularizing"),
        )  # fmt: skip
    with attempt.stage("training"):
        learned = _train(process, attempt, model, identity, regularization, config)
    manifest = Manifest(
        token=who.token,
        class_noun=who.class_noun,
        base_model=process.gpu.name,
        revision=model.revision,
        fingerprint=model.fingerprint,
        captions=identity.captions,
        class_prompts=tuple(prompts),
        config={"prior": asdict(config), "regularization": asdict(painting)},
        losses=learned.losses,
    )
    return _made(learned, manifest)


def forget_checkpoints(process: Process) -> None:
    """Delete the checkpoints of jobs that are over, whoever left them."""
    for file in process.checkpoints.glob("*.safetensors"):
        with process.begin() as session:
            over = jobs.is_over(session, file.name.split(".")[0])
        if over:
            file.unlink(missing_ok=True)


def _load(process: Process, attempt: Attempt) -> tuple[dict[str, Any], Subject, list[Image.Image]]:
    with process.begin() as session:
        job = jobs.get(session, attempt.claim.project_id, attempt.claim.job_id)
        row = subjects.get(session, job.project_id, job.subject_id) if job is not None else None
    if job is None or row is None:
        raise Lost
    pictures = []
    for number, reference in enumerate(row.references, start=1):
        content = attempt.insist(partial(process.storage.get, reference.image.key))
        pictures.append(Image.open(io.BytesIO(content)).convert("RGB"))
        attempt.report("loading", number, len(row.references))
    return job.parameters, row, pictures


def _train(
    process: Process,
    attempt: Attempt,
    model: BaseModel,
    identity: EncodedSet,
    regularization: EncodedSet,
    config: PriorConfig,
) -> Learned:
    # The base model is in the name: weights that were tuned for another one must not be continued.
    checkpoint = process.checkpoints / f"{attempt.claim.job_id}.{model.fingerprint[:12]}.safetensors"

    def run() -> Learned:
        return learn_prior(
            model, identity, regularization, config, checkpoint=checkpoint,
            on_step=lambda step, steps, loss: attempt.report("training", step, steps, loss=round(loss, 5)),
        )  # fmt: skip

    def resumed() -> Learned:
        try:
            return run()
        except (InvalidCheckpoint, SafetensorError):
            checkpoint.unlink()  # other settings, or cut off by a power failure: begin anew
            return run()

    def leanly() -> Learned:
        with lean(model):
            return resumed()

    return leaner([resumed, leanly])


def _made(learned: Learned, manifest: Manifest) -> Made:
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
        **manifest.config,
    }
    return Made(files, resolved, asdict(manifest))
