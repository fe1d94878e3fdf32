"""The operator's policy on results and previews: asked after a file is stored and before a row makes it visible."""

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from ledger import decisions, policy
from ledger.artefacts import NewArtefact
from ledger.policy import Question, Verdict
from ledger.storage import StorageError
from worker.attempt import Attempt
from worker.context import WorkerContext

RETRY_SECONDS = (2, 5, 10, 20, 30)

log = logging.getLogger(__name__)


class RefusedByPolicy(Exception):
    """The policy refused a result; the message is its reason."""


class PolicyUnavailable(Exception):
    """The policy did not answer, and `LIPE_POLICY_FAILS` is closed."""


def require_policy(context: WorkerContext, attempt: Attempt, prompt: str, files: Sequence[NewArtefact]) -> None:
    """Ask the policy about the files of one result. Without `LIPE_POLICY_URL` nothing is asked.

    If the result must not be shown, its files are deleted. Raises RefusedByPolicy, PolicyUnavailable, and the
    exceptions of `Attempt.report`.
    """
    if not context.settings.policy_url:
        return
    claim = attempt.claim
    question = policy.about_result(context.storage, claim.project_id, {"job_id": claim.job_id}, prompt, files)
    verdict = _ask(context, attempt, question)
    with context.begin() as session:
        decisions.record(session, claim.project_id, verdict.decision(question, "worker"))
    if verdict.is_allowed:
        return
    for file in files:
        with suppress(StorageError):  # then it is an orphan, which no row shows and the dispatcher deletes
            context.storage.delete(file.stored.key)
    if verdict.outcome == "refused":
        raise RefusedByPolicy(verdict.reason)
    raise PolicyUnavailable("the operator's policy did not answer: retry the job later")


def allows_preview(context: WorkerContext, attempt: Attempt, preview: NewArtefact) -> bool:
    """Whether the policy allows a stored preview, which is not visible yet. It is asked once: a preview may be lost."""
    if not context.settings.policy_url:
        return True
    claim = attempt.claim
    ids, prompt = {"job_id": claim.job_id}, str(preview.details["prompt"])
    question = policy.about_result(context.storage, claim.project_id, ids, prompt, [preview])
    verdict = policy.ask(context.settings, question)
    with context.begin() as session:
        decisions.record(session, claim.project_id, verdict.decision(question, "worker"))
    return verdict.is_allowed


def _ask(context: WorkerContext, attempt: Attempt, question: Question) -> Verdict:
    """The verdict. A policy that does not answer is asked again: the result cost minutes of the GPU."""
    for seconds in RETRY_SECONDS:
        verdict = attempt.run_in_thread(partial(policy.ask, context.settings, question))
        if verdict.outcome != "failed_closed":
            return verdict
        log.warning("job %s: the policy did not answer; retry in %d s", attempt.claim.job_id, seconds)
        for _ in range(seconds):
            time.sleep(1)
            attempt.renew_lease()
    return attempt.run_in_thread(partial(policy.ask, context.settings, question))
