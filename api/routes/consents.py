"""The consent of a person who is a subject: record a new receipt, or revoke the one that holds."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Response

from api import problems
from api.auth import Caller, CallerDep
from api.consent import NewConsent
from api.fields import PathId
from api.idempotency import IdempotencyDep, json_response
from api.problems import Problem, problem_responses
from api.service import ServiceDep
from api.subject_body import SubjectBody
from ledger import consents, subjects
from ledger.database import UnitOfWork, repeat_conflicts
from ledger.idempotency import Answer

router = APIRouter(prefix="/subjects/{subject_id}/consent", tags=["subjects"])


@router.post(
    "",
    status_code=201,
    operation_id="give_consent",
    response_model=SubjectBody,
    responses=problem_responses("not_found", "idempotency_key_in_flight", "consent_given", "idempotency_key_reused"),
)
def give_consent(subject_id: PathId, consent: NewConsent, idempotent: IdempotencyDep, caller: CallerDep) -> Response:
    """Record a receipt of consent: the first one, or a new one after the last has ended. Answers with the subject."""
    with idempotent.service.begin() as session:
        answer = idempotent.recall(session)
        if answer is None:
            subject = subjects.lock(session, idempotent.project_id, subject_id)
            if subject is None:
                raise problems.not_found("subject", subject_id)
            try:
                consents.give(session, subject, consent.receipt(), caller.actor)
            except consents.AlreadyGiven as error:
                raise Problem("consent_given", "revoke it first: DELETE this address") from error
            body = SubjectBody.model_validate(subject).model_dump(mode="json")
            answer = idempotent.remember(session, Answer(201, body, {"Location": f"/v1/subjects/{subject_id}"}))
    return json_response(answer)


@router.delete("", operation_id="revoke_consent", response_model=SubjectBody, responses=problem_responses("not_found"))
def revoke_consent(subject_id: PathId, service: ServiceDep, caller: CallerDep) -> Any:
    """Revoke the consent of the person shown. Queued jobs of the subject are canceled at once, and running ones stop at
    their next step. The subject and its priors cannot be used any more. Then what the operator has set is erased, by
    default the priors. Answers with the subject."""
    return repeat_conflicts(partial(_revoke, service.begin, caller, subject_id))


def _revoke(begin: UnitOfWork, caller: Caller, subject_id: str) -> SubjectBody:
    with begin() as session:
        if subjects.get(session, caller.project_id, subject_id) is None:
            raise problems.not_found("subject", subject_id)
        if consents.revoke(session, caller.project_id, subject_id, caller.actor) is None:
            detail = "the subject has no consent that holds: `consent` of the subject says whether one has ended"
            raise Problem("not_found", detail)
        session.expire_all()
        subject = subjects.get(session, caller.project_id, subject_id)
        return SubjectBody.model_validate(subject)
