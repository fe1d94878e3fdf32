"""References: add an image to a subject, or remove one. Priors keep what they have learned."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from api import problems
from api.auth import CallerDep, caller_of
from api.consent import check_reference
from api.fields import Caption, Id, PathId, RequestModel
from api.idempotency import IdempotencyDep, IdempotentRequest, json_response
from api.policy import POLICY_PROBLEMS, require_policy
from api.problems import Problem, problem_responses
from api.service import ServiceDep
from api.subject_body import SubjectBody
from ledger import images, policy, subjects
from ledger.idempotency import Answer
from ledger.models import Subject
from ledger.policy import Question
from ledger.subjects import MAX_REFERENCES, MIN_REFERENCES

router = APIRouter(prefix="/subjects/{subject_id}/references", tags=["subjects"])


class NewReference(RequestModel):
    """An image to add to the references of a subject."""

    image_id: Id
    """Id of an image that shows the subject alone, in a pose that the other references lack."""

    caption: Caption | None = None
    """Description of the image. Default: the service writes it during the training. Give it if that one is wrong."""


@router.post(
    "",
    status_code=201,
    operation_id="add_reference",
    response_model=SubjectBody,
    responses=problem_responses(
        "not_found",
        "idempotency_key_in_flight",
        "reference_count",
        "consent_required",
        "idempotency_key_reused",
        *POLICY_PROBLEMS,
    ),
)
async def add_reference(
    subject_id: PathId, new_reference: NewReference, request: Request, idempotent: IdempotencyDep
) -> Response:
    """Add an image to the subject's references, for its next training. Answers with the subject."""
    make_question = partial(_question, idempotent, subject_id, new_reference)
    await require_policy(idempotent.service, caller_of(request), make_question)
    return await run_in_threadpool(_add_reference, subject_id, new_reference, idempotent)


def _add_reference(subject_id: str, new_reference: NewReference, idempotent: IdempotentRequest) -> Response:
    with idempotent.service.begin() as session:
        answer = idempotent.recall(session)
        if answer is None:
            subject = subjects.lock(session, idempotent.project_id, subject_id)
            if subject is None:
                raise problems.not_found("subject", subject_id)
            found = images.get_many(session, idempotent.project_id, [new_reference.image_id])
            if not found:
                raise problems.not_found("image", new_reference.image_id, param="image_id")
            _check_addition(subject, new_reference.image_id)
            check_reference(subject, found[0])
            subjects.add_reference(session, subject, found[0], new_reference.caption or None)
            body = SubjectBody.model_validate(subject).model_dump(mode="json")
            answer = idempotent.remember(session, Answer(201, body, {"Location": f"/v1/subjects/{subject_id}"}))
    return json_response(answer)


@router.delete(
    "/{image_id}",
    status_code=204,
    operation_id="remove_reference",
    responses=problem_responses("not_found", "reference_count"),
)
def remove_reference(subject_id: PathId, image_id: PathId, service: ServiceDep, caller: CallerDep) -> None:
    """Remove an image from the subject's references, for its next training. The image itself stays."""
    with service.begin() as session:
        subject = subjects.lock(session, caller.project_id, subject_id)
        if subject is None:
            raise problems.not_found("subject", subject_id)
        if image_id not in {reference.image_id for reference in subject.references}:
            detail = f"{image_id} is no reference of this subject: `references` of the subject lists them"
            raise Problem("not_found", detail)
        if len(subject.references) <= MIN_REFERENCES:
            detail = f"a training needs {MIN_REFERENCES} references: add another one first, or delete the subject"
            raise Problem("reference_count", detail)
        subjects.remove_reference(session, subject, image_id)


def _question(
    idempotent: IdempotentRequest, subject_id: str, new_reference: NewReference, session: Session
) -> Question | None:
    """The question about the new reference. A repeated request asks nothing, and neither does one with a wrong id."""
    if idempotent.recall(session) is not None:
        return None
    subject = subjects.get(session, idempotent.project_id, subject_id)
    found = images.get_many(session, idempotent.project_id, [new_reference.image_id])
    if subject is None or not found:
        return None
    known: dict[str, Any] = {name: getattr(subject, name) for name in ("id", "class_noun", "category")}
    known["consent"] = any(consent.ended_at is None for consent in subject.consents)
    facts = [policy.image_facts(idempotent.service.storage, image) for image in found]
    return policy.about_references(idempotent.project_id, known, facts, [new_reference.caption])


def _check_addition(subject: Subject, image_id: str) -> None:
    if image_id in {reference.image_id for reference in subject.references}:
        raise problems.invalid("the image is a reference already: give another image", param="image_id")
    if len(subject.references) >= MAX_REFERENCES:
        detail = f"the subject has {MAX_REFERENCES} references, the most that it may have: remove one first"
        raise Problem("reference_count", detail, param="image_id")
