"""An edit job: an image, prompts and a prior in, edited images with their masks out."""

import io
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from PIL import Image

from ledger.models import Image as ImageRow
from ledger.partial_results import PartialResults
from lipe_core.adapters.prior import Prior
from lipe_core.backbone import BaseModel
from lipe_core.captioning.captions import plain_caption
from lipe_core.errors import InvalidRequest
from lipe_core.methods.registry import METHODS
from lipe_core.methods.request import Edit, EditRequest
from lipe_core.methods.request_check import check_request
from lipe_core.recipe import load_recipe
from lipe_core.subject import Subject
from worker.attempt import Attempt, ClaimLost
from worker.captioner import CaptionModel, load_captioner
from worker.context import WorkerContext
from worker.credentials import edit_facts, job_credentials
from worker.edit_prior import load_prior
from worker.edit_rows import EditRows, find_rows
from worker.edit_words import with_action, with_source_prompt
from worker.gpu import halvings, reduced_memory, with_memory_fallbacks
from worker.job_result import JobResult
from worker.job_warnings import check_edits, check_images, check_subject
from worker.output_format import OutputFormat
from worker.policy import allows_preview
from worker.previews import PreviewUploader, preview_uploads
from worker.published import PUBLISHED, result_marks
from worker.results import ResultStore, result_roles


@dataclass(frozen=True)
class EditInputs:
    """The job's request with all images and the prior loaded.

    `captioner` is set if the user gave no source prompt and the service has a captioner. Until it has written one,
    the request has a plain source prompt. `mix` has the facts of a second prior, whose weights `prior` has, too.
    `partial` are the results that earlier attempts stored. `archive` has the Content Credentials of the image's upload.
    """

    request: EditRequest
    captioner: CaptionModel | None
    prior: Prior | None
    mix: dict[str, Any] | None
    method: str
    parameters: dict[str, Any]
    partial: PartialResults | None
    edit_id: str
    source_sha256: str
    archive: bytes | None
    result_kind: str
    has_label: bool


def make_edits(context: WorkerContext, attempt: Attempt) -> JobResult:
    """Make the job's edits. They are stored later."""
    model = context.gpu.base_model()
    with attempt.stage("loading"):
        inputs = load_inputs(context, attempt)
    if inputs.method not in METHODS:
        raise InvalidRequest(f"there is no method {inputs.method!r}: choose {', '.join(METHODS)}")
    choices = inputs.parameters.get("choices", {})
    recipe, requested = load_recipe(model.checkpoint, context.settings.recipe), inputs.parameters.get(inputs.method, {})
    config = recipe.method_config(inputs.method, requested, choices)
    check_request(model, inputs.method, inputs.request, config)
    check_images(context, attempt, [inputs.request.image])
    check_subject(context, attempt, inputs.request)
    inputs = replace(inputs, request=_with_words(context, attempt, inputs))
    output_format = OutputFormat.of_job(inputs.parameters)
    resolved = {
        "base_model": context.gpu.name,
        "revision": model.revision,
        "fingerprint": model.fingerprint,
        "adapter_sha256": inputs.prior.manifest.adapter_sha256 if inputs.prior else None,
        "mix": inputs.mix,
        "method": inputs.method,
        "choices": choices,
        inputs.method: asdict(config),
        "seeds": list(inputs.request.seeds),
        "source_prompt": inputs.request.source_prompt,
        "negative_prompt": inputs.request.negative_prompt or None,
        "captioner": inputs.captioner.name if inputs.captioner else None,
        "segmenter": context.gpu.segmenter_name if METHODS[inputs.method].has_resources else None,
        "target_prompts": list(inputs.request.target_prompts),
        "output_format": output_format.name,
        "output_quality": output_format.quality,
        "result_kind": inputs.result_kind,
        "visible_label": inputs.has_label,
    }
    key = context.settings.watermark_key.get_secret_value()
    marks = result_marks(inputs.result_kind, inputs.has_label, key, inputs.edit_id)
    facts = edit_facts(inputs.edit_id, inputs.source_sha256, resolved, inputs.request.image.size)
    credentials = job_credentials(context.signer, facts, inputs.archive, inputs.parameters)
    roles = result_roles(inputs.parameters)
    results = ResultStore(context, attempt, inputs.request, output_format, roles, resolved, credentials, marks)
    results.resume(inputs.partial)
    if results.missing:
        may_show = partial(allows_preview, context, attempt)
        with preview_uploads(context.storage, attempt, may_show, close_seconds=0.0) as previews:  # none is kept
            _edit(model, inputs, config, attempt, previews, results)
    return JobResult([], results.resolved, later=results.finish)


def load_inputs(context: WorkerContext, attempt: Attempt) -> EditInputs:
    """Read the job's rows, images and prior. Raises ClaimLost, InvalidPrior, NoSuchObject, StorageError."""
    with context.begin() as session:
        rows = find_rows(session, attempt.claim.project_id, attempt.claim.job_id)
    if rows is None:
        raise ClaimLost

    def image(row: ImageRow) -> Image.Image:
        return Image.open(io.BytesIO(attempt.retry_storage(partial(context.input, row.key, row.sha256))))

    subject = Subject(rows.subject.token, rows.subject.class_noun)
    kind = rows.parameters.get("result_kind", rows.project.result_kind)
    source = image(rows.image).convert("RGB")
    source_prompt = (rows.edit.source_prompt or "").strip()
    request = EditRequest(
        image=source,
        source_prompt=source_prompt or plain_caption(source, subject),
        target_prompts=tuple(rows.edit.target_prompts),
        subject=subject,
        seeds=tuple(rows.parameters.get("seeds") or (0,)),
        mask=image(rows.mask).convert("L") if rows.mask is not None else None,
        negative_prompt=rows.parameters.get("negative_prompt", ""),
        references=tuple(image(reference).convert("RGB") for reference in rows.references),
    )
    caption_model = None if source_prompt else context.caption_model
    load_captioner(attempt, caption_model, context.gpu.base_model())
    return EditInputs(
        request,
        caption_model,
        load_prior(context, attempt, rows.edit, rows.prior, rows.mix),
        _mix_of(rows),
        rows.edit.method,
        rows.parameters,
        rows.partial,
        rows.edit.id,
        rows.image.sha256,
        rows.archive,
        kind,
        kind == PUBLISHED and rows.parameters.get("visible_label", rows.project.visible_label),
    )


def _mix_of(rows: EditRows) -> dict[str, Any] | None:
    if rows.mix is None:
        return None
    return {
        "prior_id": rows.mix.id,
        "adapter_sha256": rows.mix.adapter_sha256,
        "weight": rows.edit.mix_weight,
    }


def _with_words(context: WorkerContext, attempt: Attempt, inputs: EditInputs) -> EditRequest:
    """The request with the texts that the user left to the service."""
    request, earlier = inputs.request, inputs.partial.resolved if inputs.partial is not None else None
    if inputs.captioner is not None:
        request = with_source_prompt(context, attempt, request, inputs.captioner, earlier)
    if action := inputs.parameters.get("action"):
        request = with_action(context, attempt, request, action, earlier)
    return request


def _edit(
    model: BaseModel, inputs: EditInputs, config: Any, attempt: Attempt, previews: PreviewUploader, results: ResultStore
) -> None:
    """Generate the missing results."""
    method, request, done = METHODS[inputs.method], inputs.request, 0

    def report(step: int, steps: int) -> None:
        nonlocal done
        done = step
        attempt.report("inverting" if inputs.method == "nima" and step <= config.steps else "editing", step, steps)

    def edit(request: EditRequest) -> list[Edit]:
        def upload(decoded: list[Image.Image]) -> None:
            previews.upload(decoded[0], done, request.target_prompts[0])

        options: dict[str, Any] = {"on_preview": upload} if method.has_previews else {}
        if method.has_resources:
            options["resources"] = results.context.gpu.resources(attempt.claim.project_id, inputs.source_sha256)
        made = method.edit(model, request, config, prior=inputs.prior, on_step=report, **options)
        check_edits(results.context, attempt, made)
        for stage, seconds in made[0].timings.items():
            attempt.seconds[stage] = attempt.seconds.get(stage, 0.0) + seconds
        return made

    def missing_prompts() -> list[int]:
        return sorted({(number - 1) // len(request.seeds) for number in results.missing})

    def edit_prompts(at_once: int) -> None:
        """The prompts that miss a result, so many at once with all seeds: they share one inversion and one batch."""
        seeds = len(request.seeds)
        while prompts := missing_prompts()[:at_once]:
            numbers = [prompt * seeds + seed for prompt in prompts for seed in range(1, seeds + 1)]
            target_prompts = tuple(request.target_prompts[prompt] for prompt in prompts)
            results.take(numbers, edit(replace(request, target_prompts=target_prompts)))

    def edit_one_by_one() -> None:
        """One row at a time, each with an inversion of its own. The rows do not depend on each other."""
        for number in results.missing:
            prompt, seed = results.rows[number - 1]
            results.take([number], edit(replace(request, target_prompts=(prompt,), seeds=(seed,))))

    def in_reduced_memory(variant: Callable[[], None]) -> None:
        results.context.gpu.free_kept()
        with reduced_memory(model):
            variant()

    everything = partial(edit_prompts, len(missing_prompts()))
    if method.has_chunks:
        variants = [everything, partial(in_reduced_memory, everything)]
    else:
        parts = [partial(edit_prompts, n) for n in halvings(len(missing_prompts()))]
        variants = [*parts, partial(in_reduced_memory, edit_one_by_one)]
    with_memory_fallbacks(variants)
