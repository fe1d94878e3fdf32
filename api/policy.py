"""The operator's policy in a request: asked before anything is created, and never inside a transaction.

Without `LIPE_POLICY_URL` nothing is asked. A policy that hangs occupies only its own few threads.
"""

from collections.abc import Callable
from dataclasses import replace

from sqlalchemy.orm import Session

from api.auth import Caller
from api.problems import Problem
from api.service import Service
from ledger import decisions, policy
from ledger.policy import Question

POLICY_PROBLEMS = ("refused_by_policy", "policy_unavailable")
"""Codes that every route that asks the policy may answer with."""


async def require_policy(service: Service, caller: Caller, make_question: Callable[[Session], Question | None]) -> None:
    """Ask the policy, record its decision, and raise Problem unless it allows the request.

    `make_question` reads what the question needs. None: nothing is to be asked, such as for a repeated request.
    """
    if service.settings.policy_url:
        await service.asking_policy(_require, service, caller, make_question)


def for_dry_run(make_question: Callable[[Session], Question | None]) -> Callable[[Session], Question | None]:
    """The same question with the mark `dry_run`: nothing is created, whatever the policy answers."""

    def make(session: Session) -> Question | None:
        question = make_question(session)
        return replace(question, data={**question.data, "dry_run": True}) if question else None

    return make


def _require(service: Service, caller: Caller, make_question: Callable[[Session], Question | None]) -> None:
    with service.begin() as session:
        question = make_question(session)
    if question is None:
        return
    verdict = policy.ask(service.settings, question)
    with service.begin() as session:
        decisions.record(session, caller.project_id, verdict.decision(question, f"key:{caller.key_id}"))
    if verdict.outcome == "refused":
        raise Problem("refused_by_policy", verdict.reason)
    if not verdict.is_allowed:
        raise Problem("policy_unavailable", "the operator's policy did not answer: send the same request again")
