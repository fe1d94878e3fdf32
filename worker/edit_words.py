"""The texts of an edit that the user left to the service: the source prompt, and the target prompt of an action."""

from dataclasses import replace
from typing import Any

from ledger import attempts
from lipe_core.methods.request import EditRequest
from worker.attempt import Attempt, ClaimLost
from worker.captioner import CaptionModel, captioner
from worker.context import WorkerContext
from worker.job_warnings import check_captions
from worker.target_prompts import target_prompt


def with_source_prompt(
    context: WorkerContext, attempt: Attempt, request: EditRequest, model: CaptionModel, earlier: dict[str, Any] | None
) -> EditRequest:
    """The request with a source prompt that the captioner writes, or wrote in the `earlier` attempt's settings."""
    if earlier is not None:
        return replace(request, source_prompt=earlier["source_prompt"])
    base = context.gpu.base_model()
    with attempt.stage("captioning"):
        (written,) = captioner(model, base, attempt.reporter("captioning"))([request.image], request.subject)
    # Guidance may lead away from both prompts in one text.
    end = f", {request.negative_prompt}" if request.negative_prompt else ""
    source_prompt = base.shortened(written, end)
    check_captions(context, attempt, [request.image], [source_prompt], request.subject)
    return replace(request, source_prompt=source_prompt)


def with_action(
    context: WorkerContext, attempt: Attempt, request: EditRequest, action: str, earlier: dict[str, Any] | None
) -> EditRequest:
    """The request with the target prompt of this action, which the edit's row then has, too. Raises ClaimLost."""
    if earlier is not None:
        return replace(request, target_prompts=tuple(earlier["target_prompts"]))
    base = context.gpu.base_model()
    prompt = target_prompt(context, attempt, base, request.source_prompt, action, request.subject)
    with context.begin() as session:
        is_kept = attempts.set_target_prompts(session, attempt.claim, [prompt])
    if not is_kept:
        raise ClaimLost
    return replace(request, target_prompts=(prompt,))
