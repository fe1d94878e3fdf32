"""Ratings: the raters' side of a study. The token of its link takes the place of an API key.

No answer says which system made an image, and the path of an image does not either.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Response, Security
from fastapi.security import APIKeyHeader
from pydantic import Field

from api.auth import RATER_TOKEN
from api.fields import PathId, RequestModel, ResponseModel
from api.plain_image import UnknownFormat, plain
from api.problems import Problem, problem_responses
from api.service import ServiceDep
from ledger import ratings
from ledger.database import repeat_conflicts
from ledger.ratings import NewAnswer, Progress, Turn
from ledger.study_links import InvalidImage, StudyLinks
from ledger.study_plan import Question, Side

router = APIRouter(prefix="/ratings", tags=["ratings"])
AHEAD = 4
"""Questions in one answer, so that the page can load the next images."""
MAX_SECONDS = 3600.0
COMMON = ("malformed_request", "body_too_slow", "too_many_requests", "body_too_large", "invalid_request", "internal",
          "unavailable")  # fmt: skip
_IMAGE_CONTENT: dict[str, Any] = {"image/*": {}, "application/octet-stream": {}}
"""An image's own type is sent. openapi-python-client takes bytes only from the second type."""
REFUSALS = problem_responses("study_link_invalid", "study_closed", "study_full", "study_erased", common=COMMON)

rater_scheme = APIKeyHeader(
    name=RATER_TOKEN, scheme_name="StudyToken", auto_error=False, description="The token of a study's link."
)


class RatingQuestion(ResponseModel):
    """One question. The two images are at random sides."""

    number: int
    """Number of the question, to answer it."""

    question: Question
    """What is asked: which one is more like the subject (`identity`), keeps the `background` better, or is the better
    answer to the prompt (`satisfaction`)."""

    prompt: str
    """Text that the images were made for; may be empty."""

    left: str
    """URL of the left image, relative to that of the API's `/v1`, valid for some minutes."""

    right: str
    """URL of the right image."""

    source: str | None
    """URL of the image before the edit; null if there is none."""

    references: list[str]
    """URLs of images of the subject."""


class RatingProgress(ResponseModel):
    """How far the rater is."""

    answered: int
    """Number of answered questions."""

    total: int
    """Number of all questions to this rater."""


class NextRatings(RatingProgress):
    """The next questions to the rater; none if all are answered."""

    study: str
    """Name of the study."""

    questions: list[RatingQuestion]
    """The next questions in order, a few at once."""


class NewRating(RequestModel):
    """The answer to one question."""

    number: Annotated[int, Field(ge=1, le=10_000)]
    """Number of the question."""

    answer: Side
    """The better image: `left`, `right`, or `tie` if neither is."""

    seconds: Annotated[float, Field(ge=0, le=MAX_SECONDS)]
    """Time from the question's appearance to the answer, in seconds."""


def _study(service: ServiceDep, token: Annotated[str | None, Security(rater_scheme)] = None) -> str:
    """The id of the study of the request's token."""
    study_id = StudyLinks(service.settings).study_of(token or "")
    if study_id is None:
        raise Problem("study_link_invalid", "ask the person who sent you the link for the whole link")
    return study_id


StudyDep = Annotated[str, Depends(_study)]
RaterDep = Annotated[
    str,
    Header(
        alias="X-Rater-Session",
        pattern=r"^[\w-]{20,64}$",
        description="A random text that the rater's browser makes once and keeps: it tells raters apart.",
    ),
]


@router.get("/next", operation_id="get_next_ratings", response_model=NextRatings, responses=REFUSALS)
def get_next_ratings(service: ServiceDep, study_id: StudyDep, rater: RaterDep) -> Any:
    """The rater's next questions. The same session gets the same questions until they are answered."""
    links = StudyLinks(service.settings)
    with _refusals(), service.begin() as session:
        found = ratings.progress(session, links, study_id, rater, AHEAD)
        return NextRatings(
            answered=found.answered,
            total=found.total,
            study=found.study.name,
            questions=[_question(links, turn) for turn in found.turns],
        )


@router.post("", operation_id="create_rating", response_model=RatingProgress, responses=REFUSALS)
def create_rating(rating: NewRating, service: ServiceDep, study_id: StudyDep, rater: RaterDep) -> Any:
    """Answer a question. Sent again, it has no second effect: the first answer to a question counts."""
    new_answer = NewAnswer(rating.number, rating.answer, rating.seconds)
    with _refusals():
        found = repeat_conflicts(partial(_record, service, study_id, rater, new_answer))
    return RatingProgress(answered=found.answered, total=found.total)


@router.get(
    "/images/{image_id}",
    operation_id="get_rating_image",
    response_class=Response,
    responses=problem_responses("signed_url_invalid", "not_found", "storage_unavailable", common=COMMON)
    | {200: {"description": "The image without metadata.", "content": _IMAGE_CONTENT}},
)
def get_rating_image(
    image_id: PathId,
    service: ServiceDep,
    expires: Annotated[int, Query(ge=0, le=2**53, description="Part of the signed URL.")],
    signature: Annotated[str, Query(max_length=64, description="Part of the signed URL.")],
) -> Response:
    """An image of a question, by the signed URL of the question. It needs no header."""
    try:
        StudyLinks(service.settings).check_image(image_id, expires, signature)
    except InvalidImage as error:
        raise Problem("signed_url_invalid", str(error)) from error
    with service.begin() as session:
        found = ratings.image(session, image_id)
    if found is None:
        raise Problem("not_found", "the study of this image is closed or erased")
    stored, content_type = found
    content = service.storage.get(stored.key, stored.sha256)
    try:
        content = plain(content)
    except UnknownFormat as error:
        raise Problem("not_found", "this image has no format that a study can show") from error
    headers = {
        "Cache-Control": "private, max-age=600",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Referrer-Policy": "no-referrer",
    }
    return Response(content, 200, headers, content_type)


def _record(service: ServiceDep, study_id: str, rater: str, new_answer: NewAnswer) -> Progress:
    with service.begin() as session:
        return ratings.answer(session, StudyLinks(service.settings), study_id, rater, new_answer)


def _question(links: StudyLinks, turn: Turn) -> RatingQuestion:
    (left,), (right,) = turn.ids_of("result", turn.task.left), turn.ids_of("result", turn.task.right)
    source = turn.ids_of("source")
    return RatingQuestion.model_validate(
        {
            "number": turn.number,
            "question": turn.task.question,
            "prompt": turn.prompt,
            "left": links.image(left),
            "right": links.image(right),
            "source": links.image(source[0]) if source else None,
            "references": [links.image(one) for one in turn.ids_of("reference")],
        }
    )


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn the ledger's refusals into problems."""
    try:
        yield
    except ratings.Closed as error:
        raise Problem("study_closed", "it takes no answers any more: thank you for your help") from error
    except ratings.Erased as error:
        raise Problem("study_erased", "the study was deleted, and your answers with it") from error
    except ratings.Full as error:
        detail = f"it has its {error.raters} raters already: there is nothing left to do for you"
        raise Problem("study_full", detail) from error
    except ratings.UnknownQuestion as error:
        detail = f"this rater has {error.total} questions: answer one of those that GET /v1/ratings/next gives"
        raise Problem("invalid_request", detail, param="number") from error
