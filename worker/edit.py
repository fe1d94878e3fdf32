"""An edit job: a picture, prompts and a prior in, edited pictures with their masks out."""

import io
import json
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from ledger import edits, images, jobs, priors, subjects
from ledger.models import Image as ImageRow
from ledger.models import Prior as PriorRow
from lipe_core.adapters import prior
from lipe_core.adapters.prior import Prior
from lipe_core.captioning.captions import plain_caption
from lipe_core.errors import InvalidPrior, InvalidRequest
from lipe_core.methods.registry import METHODS
from lipe_core.methods.request import Edit, EditRequest
from lipe_core.recipe import load_recipe
from lipe_core.sdxl import BaseModel
from lipe_core.subject import Subject
from worker.attempt import Attempt, File, JobResult, Lost
from worker.captioner import CaptionModel, captioner
from worker.context import WorkerContext
from worker.gpu import lean, with_memory_fallbacks
from worker.previews import Previews, previewing

ROLES = ("image", "source_mask", "edit_mask", "uncomposited")


@dataclass(frozen=True)
class EditInputs:
    """What the job asks for, with everything it names fetched.

    `captioner` describes the picture where the user did not, if there is one; until then the source prompt is plain.
    """

    request: EditRequest
    captioner: CaptionModel | None
    prior: Prior | None
    method: str
    parameters: dict[str, Any]


def paint(process: WorkerContext, attempt: Attempt) -> JobResult:
    """Make the job's edits."""
    model = process.gpu.base_model()
    with attempt.stage("loading"):
        order = _load(process, attempt)
    if order.method not in METHODS:
        raise InvalidRequest(f"there is no method {order.method!r}: choose {', '.join(METHODS)}")
    asked = order.parameters.get(order.method, {})
    config = load_recipe(model.checkpoint).method_config(order.method, asked)
    if order.captioner is not None:
        with attempt.stage("captioning"):
            caption = captioner(order.captioner, model, attempt.reporter("captioning"))
            told = replace(order.request, source_prompt=caption([order.request.image], order.request.subject)[0])
            order = replace(order, request=told)
    with previewing(process.storage, attempt, patience=0.0) as previews:  # none is kept
        made = _edit(model, order, config, attempt, previews)
    for stage in made[0].timings:
        attempt.seconds[stage] = made[0].timings[stage]
    resolved = {
        "base_model": process.gpu.name,
        "revision": model.revision,
        "fingerprint": model.fingerprint,
        "adapter_sha256": order.prior.manifest.adapter_sha256 if order.prior else None,
        "method": order.method,
        order.method: asdict(config),
        "seeds": list(order.request.seeds),
        "source_prompt": order.request.source_prompt,
        "captioner": order.captioner.name if order.captioner else None,
        "target_prompts": list(order.request.target_prompts),
        "evaluations": made[0].evaluations,
    }
    return JobResult([file for number, edit in enumerate(made, start=1) for file in _files(number, edit)], resolved)


def _load(process: WorkerContext, attempt: Attempt) -> EditInputs:
    project_id = attempt.claim.project_id
    with process.begin() as session:
        job = jobs.get(session, project_id, attempt.claim.job_id)
        edit = edits.get(session, project_id, job.edit_id) if job is not None and job.edit_id else None
        if job is None or edit is None:
            raise Lost
        subject = subjects.get(session, project_id, edit.subject_id)
        image = images.get(session, project_id, edit.image_id)
        mask = images.get(session, project_id, edit.mask_image_id) if edit.mask_image_id else None
        method = METHODS.get(edit.method)
        is_shown = method is not None and method.needs_references
        learnt = priors.get(session, project_id, edit.prior_id) if edit.prior_id and not is_shown else None
    if subject is None or image is None:
        raise Lost

    def picture(row: ImageRow) -> Image.Image:
        return Image.open(io.BytesIO(attempt.retry_storage(partial(process.storage.get, row.key, row.sha256))))

    who = Subject(subject.token, subject.class_noun)
    photo = picture(image).convert("RGB")
    given = (edit.source_prompt or "").strip()
    request = EditRequest(
        image=photo,
        source_prompt=given or plain_caption(photo, who),
        target_prompts=tuple(edit.target_prompts),
        subject=who,
        seeds=tuple(job.parameters.get("seeds") or (0,)),
        mask=picture(mask).convert("L") if mask is not None else None,
        references=tuple(picture(reference.image).convert("RGB") for reference in subject.references if is_shown),
    )
    writer = None if given else process.caption_model
    return EditInputs(
        request, writer, _prior(process, attempt, learnt) if learnt else None, edit.method, job.parameters
    )


def _prior(process: WorkerContext, attempt: Attempt, row: PriorRow) -> Prior:
    key, sha256 = row.adapter_key, row.adapter_sha256
    if key is None or sha256 is None:
        raise InvalidPrior(f"the prior {row.id} is not learnt yet")

    def fetch(folder: Path) -> None:
        attempt.retry_storage(partial(process.storage.download, key, sha256, folder / prior.ADAPTER))
        (folder / prior.MANIFEST).write_text(json.dumps(row.manifest))

    return process.gpu.prior(sha256, fetch)


def _edit(model: BaseModel, order: EditInputs, config: Any, attempt: Attempt, previews: Previews) -> list[Edit]:
    method, done = METHODS[order.method], 0

    def report(step: int, steps: int) -> None:
        nonlocal done
        done = step
        attempt.report("inverting" if order.method == "nima" and step <= steps // 2 else "editing", step, steps)

    def edited(request: EditRequest) -> list[Edit]:
        def show(pictures: list[Image.Image]) -> None:
            previews.show(pictures[0], done, request.target_prompts[0])

        showing = {"on_preview": show} if method.has_previews else {}
        return method.edit(model, request, config, prior=order.prior, on_step=report, **showing)

    def one_by_one() -> list[Edit]:
        """Rows do not depend on each other: one at a time they come out the same, each with its own inversion."""
        request = order.request
        with lean(model):
            return [
                edit
                for prompt in request.target_prompts
                for seed in request.seeds
                for edit in edited(replace(request, target_prompts=(prompt,), seeds=(seed,)))
            ]

    return with_memory_fallbacks([lambda: edited(order.request), one_by_one])


def _files(number: int, edit: Edit) -> list[File]:
    details = {"target_prompt": edit.target_prompt, "seed": edit.seed}
    files = []
    for role in ROLES:
        content = io.BytesIO()
        getattr(edit, role).save(content, "PNG")
        files.append(File(role, f"{role}-{number}.png", "image/png", content.getvalue(), details))
    return files
