"""The target prompt of an edit that names an action: by the language model of the settings, or by grammar."""

import logging
from functools import partial

from lipe_core.backbone import BaseModel
from lipe_core.captioning.actions import replace_action
from lipe_core.captioning.target_prompt import write_target_prompt
from lipe_core.errors import ClassPromptsError
from lipe_core.subject import Subject
from worker.attempt import Attempt
from worker.context import WorkerContext

log = logging.getLogger(__name__)


def target_prompt(
    context: WorkerContext, attempt: Attempt, base: BaseModel, caption: str, action: str, subject: Subject
) -> str:
    """The caption with its action replaced, no longer than the base model reads. Raises what `Attempt.report` does."""
    endpoint, prompt = context.prompt_writer, ""
    if endpoint is not None:
        try:
            prompt = attempt.run_in_thread(partial(write_target_prompt, endpoint, caption, action, subject))
        except ClassPromptsError as error:
            log.warning("job %s: the target prompt is made by grammar: %s", attempt.claim.job_id, error)
    return base.shortened(prompt or replace_action(caption, action, subject))
