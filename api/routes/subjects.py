"""Subjects: who or what is to be learnt, by 3 to 5 reference pictures."""

import logging
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import Field
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse

from api import problems
from api.auth import CallerDep
from api.fields import Id, Metadata, Moment, Name, PathId, RequestModel, ResponseModel, Text
from api.filters import METADATA, WithMetadata
from api.idempotency import Creating
from api.pagination import Listing, Paging, listing
from api.problems import Problem, documented
from api.quota import admit
from api.service import ServiceDep
from ledger import erasures, images, quotas, subjects
from ledger.categories import Category, category_of
from ledger.idempotency import Answer
from ledger.models import Image
from ledger.storage import StorageError
from ledger.subjects import CLASS_NOUN_PATTERN, TOKEN_PATTERN

router = APIRouter(prefix="/subjects", tags=["subjects"])
FEWEST_REFERENCES, MOST_REFERENCES = 3, 5
LONGEST_CAPTION = 500

log = logging.getLogger(__name__)


class NewSubject(RequestModel):
    """`captions` has one entry for each reference; null leaves the caption to the service."""

    name: Name
    class_noun: Annotated[
        Text, Field(pattern=CLASS_NOUN_PATTERN, description="What everybody would call it, such as `dog`.")
    ]
    token: Annotated[
        Text, Field(pattern=TOKEN_PATTERN, description="A rare word that will mean this subject in prompts.")
    ] = "sks"  # noqa: S105
    references: Annotated[list[Id], Field(max_length=100, description="3 to 5 image ids.")]
    captions: list[Annotated[Text, Field(max_length=LONGEST_CAPTION)] | None] | None = None
    category: Annotated[Category | None, Field(description="Taken from the class noun unless given.")] = None
    consent: Annotated[bool, Field(description="The person has agreed. Needed for a person, and only there.")] = False
    metadata: Metadata = Field(default_factory=dict)


class ReferenceBody(ResponseModel):
    """One reference picture."""

    image_id: str
    caption: str | None


class SubjectBody(ResponseModel):
    """A subject. Prompts call it by `token` and `class_noun`: "sks dog"."""

    id: str
    name: str
    class_noun: str
    token: str
    category: Category
    consent: bool
    references: list[ReferenceBody]
    metadata: Annotated[dict[str, str], Field(validation_alias="user_metadata")]
    created_at: Moment


@router.post(
    "",
    status_code=201,
    operation_id="create_subject",
    response_model=SubjectBody,
    responses=documented(
        "not_found",
        "idempotency_key_in_flight",
        "reference_count",
        "consent_required",
        "idempotency_key_reused",
        "too_many_subjects",
    ),
)
def create_subject(asked: NewSubject, once: Creating) -> Response:
    """Name a subject and its reference pictures."""
    _judge(asked)

    limits: dict[str, str] = {}

    def create(session: Session) -> Answer:
        subject = subjects.create(
            session,
            once.project_id,
            name=asked.name,
            class_noun=asked.class_noun,
            token=asked.token,
            images=_references(session, once.project_id, asked.references),
            captions=[caption or None for caption in asked.captions] if asked.captions else None,
            category=asked.category,
            consent=asked.consent,
            metadata=asked.metadata,
        )
        limits.update(admit(quotas.of_subjects(session, once.project_id, once.service.settings)))
        body = SubjectBody.model_validate(subject)
        return Answer(201, body.model_dump(mode="json"), {"Location": f"/v1/subjects/{subject.id}"})

    answer = once(create)
    return JSONResponse(answer.body, answer.status, answer.headers | limits)


@router.get("", operation_id="list_subjects", response_model=Listing[SubjectBody], openapi_extra=METADATA)
def list_subjects(service: ServiceDep, me: CallerDep, window: Paging, metadata: WithMetadata) -> Any:
    """The project's subjects, newest first."""
    with service.begin() as session:
        page = subjects.listing(session, me.project_id, window, metadata=metadata)
        return listing(page, SubjectBody.model_validate)


@router.get("/{subject_id}", operation_id="get_subject", response_model=SubjectBody, responses=documented("not_found"))
def get_subject(subject_id: PathId, service: ServiceDep, me: CallerDep) -> Any:
    """One subject."""
    with service.begin() as session:
        subject = subjects.get(session, me.project_id, subject_id)
        if subject is None:
            raise problems.not_found("subject", subject_id)
        return SubjectBody.model_validate(subject)


@router.delete("/{subject_id}", status_code=204, operation_id="delete_subject", responses=documented("not_found"))
def delete_subject(subject_id: PathId, service: ServiceDep, me: CallerDep) -> None:
    """Erase a subject with everything derived from it: priors, edits, jobs, their files, unshared references."""
    with service.begin() as session:
        erasure = erasures.erase_subject(session, me.project_id, subject_id)
    if erasure is None:
        raise problems.not_found("subject", subject_id)
    try:
        erasures.sweep(service.begin, service.storage, erasure.id, settle_seconds=service.settings.lease_seconds)
    except StorageError as error:  # the erasure stays unfinished, and the dispatcher sweeps again
        log.warning("erasure %s is unfinished: %s", erasure.id, error)


def _judge(asked: NewSubject) -> None:
    count = len(asked.references)
    if not FEWEST_REFERENCES <= count <= MOST_REFERENCES:
        wanted = f"give {FEWEST_REFERENCES} to {MOST_REFERENCES} image ids, got {count}"
        raise Problem("reference_count", wanted, param="references")
    if len(set(asked.references)) != count:
        raise problems.invalid("the same image twice: give different pictures", param="references")
    if asked.captions and len(asked.captions) != count:
        raise problems.invalid(f"give one caption (or null) for each of the {count} references", param="captions")
    if asked.token.lower() in asked.class_noun.lower().split():
        raise problems.invalid("the token is the class noun: choose a rare word such as 'sks'", param="token")
    if (asked.category or category_of(asked.class_noun)) == "person" and not asked.consent:
        raise Problem("consent_required", "set `consent` to true if the person has agreed", param="consent")


def _references(session: Session, project_id: str, image_ids: list[str]) -> list[Image]:
    found = images.get_many(session, project_id, image_ids)
    present = {image.id for image in found}
    for position, image_id in enumerate(image_ids):
        if image_id not in present:
            raise problems.not_found("image", image_id, param=f"references[{position}]")
    return found
