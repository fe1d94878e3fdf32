"""Subjects: the people, animals and things to be learned, each from 3 to 20 reference images."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import Field, StrictBool
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from api import problems, subject_change
from api.auth import Caller, CallerDep, caller_of
from api.consent import NewConsent, check_consent
from api.fields import Caption, Id, Metadata, Name, PathId, RequestModel, Text
from api.filters import METADATA_PARAMETER, MetadataFilter
from api.idempotency import IdempotencyDep, IdempotentRequest, json_response
from api.pagination import Listing, PageDep, listing
from api.policy import POLICY_PROBLEMS, require_policy
from api.problems import Problem, problem_responses
from api.quota import check_quotas
from api.service import Service, ServiceDep
from api.subject_body import SubjectBody
from api.subject_change import SubjectChange
from ledger import consents, images, policy, quotas, subjects
from ledger.categories import Category, category_of, is_known
from ledger.idempotency import Answer
from ledger.models import Image
from ledger.policy import Question
from ledger.subjects import MAX_REFERENCES, MIN_REFERENCES

router = APIRouter(prefix="/subjects", tags=["subjects"])


class NewSubject(RequestModel):
    """A subject and its reference images.

    `captions` has one entry for each reference; if it is null, the service writes the caption.
    """

    name: Name
    """Name for people. Prompts do not use it."""

    class_noun: Annotated[Text, Field(pattern=r"^\w[\w' -]{0,62}$")]
    """A common noun for the subject, such as `dog`. Prompts name the subject by token and class noun."""

    token: Annotated[Text, Field(pattern=r"^\w{2,32}$")] = "sks"  # noqa: S105
    """A rare word that stands for this subject in prompts. Change it if the base model knows the word."""

    references: Annotated[list[Id], Field(max_length=100)]
    """Ids of 3 to 20 images that show the subject alone, in different poses. 3 to 5 are enough for most subjects."""

    captions: list[Caption | None] | None = None
    """Description of each reference, or null for one that the service writes. Default: the service writes all. Give
    them if its captions are wrong."""

    category: Category | None = None
    """Kind of subject, which selects the prompts of the regularization images. Default: derived from the class noun.
    Give it for an unusual noun."""

    consent: NewConsent | None = None
    """Receipt of the person's consent. Default: none. A subject that is a person needs it, and so does one with a face
    in its references, or with a class noun that LIPE does not know, unless `not_a_person` is true."""

    not_a_person: StrictBool = False
    """Your statement that the subject is no person, though its class noun or its references may look like one: a
    statue, a drawn figure. It is kept with the subject. Set it only if it is true."""

    metadata: Metadata = Field(default_factory=dict)


@router.post(
    "",
    status_code=201,
    operation_id="create_subject",
    response_model=SubjectBody,
    responses=problem_responses(
        "not_found",
        "idempotency_key_in_flight",
        "reference_count",
        "consent_required",
        "idempotency_key_reused",
        "too_many_subjects",
        *POLICY_PROBLEMS,
    ),
)
async def create_subject(new_subject: NewSubject, request: Request, idempotent: IdempotencyDep) -> Response:
    """Create a subject from its reference images."""
    _check(new_subject)
    caller = caller_of(request)
    await require_policy(idempotent.service, caller, partial(_question, idempotent, new_subject))
    return await run_in_threadpool(_create_subject, new_subject, idempotent, caller.actor)


def _create_subject(new_subject: NewSubject, idempotent: IdempotentRequest, actor: str) -> Response:
    settings, limits = idempotent.service.settings, dict[str, str]()
    with idempotent.service.begin() as session:
        answer = idempotent.recall(session)
        if answer is None:
            references = _references(session, idempotent.project_id, new_subject.references)
            _check_consent(new_subject, references)
            subject = subjects.create(
                session,
                idempotent.project_id,
                name=new_subject.name,
                class_noun=new_subject.class_noun,
                token=new_subject.token,
                images=references,
                captions=[caption or None for caption in new_subject.captions] if new_subject.captions else None,
                category=_category(new_subject),
                not_a_person=new_subject.not_a_person,
                metadata=new_subject.metadata,
            )
            if new_subject.consent is not None:
                consents.give(session, subject, new_subject.consent.receipt(), actor)
            elif new_subject.not_a_person:
                consents.state_not_a_person(session, subject, actor)
            limits = check_quotas(quotas.of_subjects(session, idempotent.project_id, settings))
            body = SubjectBody.model_validate(subject).model_dump(mode="json")
            answer = idempotent.remember(session, Answer(201, body, {"Location": f"/v1/subjects/{subject.id}"}))
    return json_response(answer, limits)


@router.get("", operation_id="list_subjects", response_model=Listing[SubjectBody], openapi_extra=METADATA_PARAMETER)
def list_subjects(service: ServiceDep, caller: CallerDep, window: PageDep, metadata: MetadataFilter) -> Any:
    """The project's subjects, newest first."""
    with service.begin() as session:
        page = subjects.listing(session, caller.project_id, window, metadata=metadata)
        return listing(page, SubjectBody.model_validate)


@router.get(
    "/{subject_id}", operation_id="get_subject", response_model=SubjectBody, responses=problem_responses("not_found")
)
def get_subject(subject_id: PathId, service: ServiceDep, caller: CallerDep) -> Any:
    """One subject."""
    with service.begin() as session:
        subject = subjects.get(session, caller.project_id, subject_id)
        if subject is None:
            raise problems.not_found("subject", subject_id)
        return SubjectBody.model_validate(subject)


@router.patch(
    "/{subject_id}",
    operation_id="change_subject",
    response_model=SubjectBody,
    responses=problem_responses("not_found", *POLICY_PROBLEMS),
)
async def change_subject(subject_id: PathId, change: SubjectChange, service: ServiceDep, caller: CallerDep) -> Any:
    """Change a subject's name, metadata or captions. New captions serve the trainings that start after the change."""
    captions = [("caption", caption or "") for caption in (change.captions or {}).values()]
    if any(caption for _, caption in captions):
        question = policy.about_prompts(caller.project_id, captions, {"subject_id": subject_id}, [])
        await require_policy(service, caller, lambda session: question)
    return await run_in_threadpool(_change_subject, subject_id, change, service, caller)


def _change_subject(subject_id: str, change: SubjectChange, service: Service, caller: Caller) -> SubjectBody:
    with service.begin() as session:
        subject = subjects.lock(session, caller.project_id, subject_id)
        if subject is None:
            raise problems.not_found("subject", subject_id)
        subject_change.check(change, subject)
        captions = {image_id: caption or None for image_id, caption in (change.captions or {}).items()}
        subjects.change(subject, name=change.name, metadata=change.metadata, captions=captions)
        return SubjectBody.model_validate(subject)


def _question(idempotent: IdempotentRequest, new_subject: NewSubject, session: Session) -> Question | None:
    """The question about the references and their captions. A repeated request asks nothing."""
    if idempotent.recall(session) is not None:
        return None
    found = _references(session, idempotent.project_id, new_subject.references)
    facts = [policy.image_facts(idempotent.service.storage, image) for image in found]
    category = new_subject.category or category_of(new_subject.class_noun)
    subject = {"class_noun": new_subject.class_noun, "category": category, "consent": new_subject.consent is not None}
    captions = new_subject.captions or [None] * len(facts)
    return policy.about_references(idempotent.project_id, subject, facts, captions)


def _check(new_subject: NewSubject) -> None:
    count = len(new_subject.references)
    if not MIN_REFERENCES <= count <= MAX_REFERENCES:
        wanted = f"give {MIN_REFERENCES} to {MAX_REFERENCES} image ids, got {count}"
        raise Problem("reference_count", wanted, param="references")
    if len(set(new_subject.references)) != count:
        raise problems.invalid("an image occurs twice: give different images", param="references")
    if new_subject.captions and len(new_subject.captions) != count:
        raise problems.invalid(f"give one caption (or null) for each of the {count} references", param="captions")
    if new_subject.token.lower() in new_subject.class_noun.lower().split():
        raise problems.invalid("the token is the class noun: choose a rare word such as 'sks'", param="token")


def _check_consent(new_subject: NewSubject, references: list[Image]) -> None:
    check_consent(
        new_subject.class_noun,
        new_subject.category,
        references,
        consent=new_subject.consent,
        not_a_person=new_subject.not_a_person,
    )


def _category(new_subject: NewSubject) -> Category:
    """The category: the stated one, but a person stays one unless the request says that it is none."""
    derived = category_of(new_subject.class_noun)
    is_doubtful = derived == "person" or not is_known(new_subject.class_noun)
    if is_doubtful and not new_subject.not_a_person:
        return "person"
    return new_subject.category or ("object" if derived == "person" else derived)


def _references(session: Session, project_id: str, image_ids: list[str]) -> list[Image]:
    found = images.get_many(session, project_id, image_ids)
    present = {image.id for image in found}
    for position, image_id in enumerate(image_ids):
        if image_id not in present:
            raise problems.not_found("image", image_id, param=f"references[{position}]")
    return found
