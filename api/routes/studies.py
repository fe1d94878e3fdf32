"""Studies: people compare the results of systems. Raters have routes of their own (`ratings`)."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy.orm import Session

from api import problems, study_statistics
from api.auth import Caller, CallerDep
from api.consent import require_valid
from api.fields import PathId
from api.idempotency import IdempotencyDep, IdempotentRequest, json_response
from api.pagination import Listing, PageDep, listing
from api.problems import Problem, problem_responses
from api.quota import check_quotas
from api.service import Service, ServiceDep
from api.study_body import NewStudy, NewStudyItem, StudyBody
from api.study_results import StudyResults, results_body
from ledger import erasures, quotas, studies, study_items
from ledger.database import repeat_conflicts
from ledger.idempotency import Answer
from ledger.models import Erasure, Study, StudyAnswer, StudyItem, StudyRater
from ledger.study_items import NewImage, NewItem
from ledger.study_links import StudyLinks
from ledger.study_plan import Shape

router = APIRouter(prefix="/studies", tags=["studies"])
Row = tuple[StudyRater, StudyAnswer, StudyItem]
COLUMNS = (
    "study", "rater", "excluded", "number", "kind", "item", "prompt", "seed", "question", "left_system",
    "right_system", "answer", "preferred_system", "seconds", "answered_at",
)  # fmt: skip
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


@router.post(
    "",
    status_code=201,
    operation_id="create_study",
    response_model=StudyBody,
    responses=problem_responses(
        "too_many_studies", "idempotency_key_in_flight", "not_found", "consent_ended", "idempotency_key_reused"
    ),
)
def create_study(new_study: NewStudy, idempotent: IdempotencyDep, caller: CallerDep) -> Response:
    """Create a study of edits or of uploaded images; 201 with the token of the raters' link."""
    answer, limits = repeat_conflicts(partial(_create, new_study, idempotent, caller))
    return json_response(answer, limits)


@router.get("", operation_id="list_studies", response_model=Listing[StudyBody])
def list_studies(service: ServiceDep, caller: CallerDep, window: PageDep) -> Any:
    """The project's studies, newest first."""
    with service.begin() as session:
        page = studies.listing(session, caller.project_id, window)
        body = _bodies(service, caller, session, page.rows)
        return listing(page, body)


@router.get("/{study_id}", operation_id="get_study", response_model=StudyBody, responses=problem_responses("not_found"))
def get_study(study_id: PathId, service: ServiceDep, caller: CallerDep) -> Any:
    """One study, with its counts."""
    with service.begin() as session:
        study = _found(studies.get(session, caller.project_id, study_id), study_id)
        return _bodies(service, caller, session, [study])(study)


@router.post(
    "/{study_id}/close", operation_id="close_study", response_model=StudyBody, responses=problem_responses("not_found")
)
def close_study(study_id: PathId, service: ServiceDep, caller: CallerDep) -> Any:
    """Close a study: it takes no answers any more, and has results. A closed study stays as it is."""
    with service.begin() as session:
        study = _found(studies.close(session, caller.project_id, study_id), study_id)
        return _bodies(service, caller, session, [study])(study)


@router.delete("/{study_id}", status_code=204, operation_id="delete_study", responses=problem_responses("not_found"))
def delete_study(study_id: PathId, service: ServiceDep, caller: CallerDep) -> None:
    """Erase a study with its answers. Its images and edits stay; nothing keeps them from being deleted any more."""

    def erase() -> Erasure | None:
        with service.begin() as session:
            return erasures.erase_study(session, caller.project_id, study_id)

    erasure = repeat_conflicts(erase)
    if erasure is None:
        raise problems.not_found("study", study_id)
    erasures.sweep(service.begin, service.storage, erasure.id)


@router.get(
    "/{study_id}/results",
    operation_id="get_study_results",
    response_model=StudyResults,
    responses=problem_responses("not_found", "study_open"),
)
def get_study_results(study_id: PathId, service: ServiceDep, caller: CallerDep) -> Any:
    """The results of a closed study: the systems in each question, the raters, and who was left out and why."""
    study, rows = _closed(service, caller, study_id)
    return results_body(study, [_answer(*row) for row in rows])


@router.get(
    "/{study_id}/results.csv",
    operation_id="download_study_answers",
    response_class=Response,
    responses=problem_responses("not_found", "study_open")
    | {200: {"description": "One line for each answer.", "content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def download_study_answers(study_id: PathId, service: ServiceDep, caller: CallerDep) -> Response:
    """All answers of a closed study as a table (CSV, RFC 4180), also those of raters who were left out."""
    study, rows = _closed(service, caller, study_id)
    facts = study_statistics.raters([_answer(*row) for row in rows], study.exclusion)
    table = _csv(study, rows, {one.number: " ".join(one.excluded) for one in facts})
    headers = {"Content-Disposition": f'attachment; filename="{study.id}.csv"', "X-Content-Type-Options": "nosniff"}
    return Response(table, 200, headers, "text/csv; charset=utf-8")


def _create(new_study: NewStudy, idempotent: IdempotentRequest, caller: Caller) -> tuple[Answer, dict[str, str]]:
    service, limits = idempotent.service, dict[str, str]()
    with service.begin() as session:
        answer = idempotent.recall(session)
        if answer is None:
            study = studies.create(
                session,
                caller.project_id,
                new_study.name,
                _items(session, caller.project_id, new_study),
                questions=new_study.questions,
                shape=Shape(new_study.questions_per_rater, new_study.repeats, new_study.attention_checks),
                max_raters=new_study.max_raters,
                exclusion=new_study.exclusion.model_dump(),
            )
            require_valid(session, *studies.subjects(session, study.id))
            limits = check_quotas(quotas.of_studies(session, caller.project_id, service.settings))
            body = _bodies(service, caller, session, [study])(study).model_dump(mode="json")
            answer = idempotent.remember(session, Answer(201, body, {"Location": f"/v1/studies/{study.id}"}))
    return answer, limits


def _items(session: Session, project_id: str, new_study: NewStudy) -> list[NewItem]:
    """The items of the request. Raises Problem if one names what is not there, or if nothing can be compared."""
    try:
        if new_study.systems is None:
            return _uploaded_items(session, project_id, new_study.items or [])
        found = study_items.items_of_edits(session, project_id, new_study.systems)
    except study_items.NotFound as error:
        raise problems.not_found(error.noun, error.identifier, param=error.param) from error
    if not found:
        detail = "no two systems have a result of the same subject, image, prompt and seed: choose edits that do"
        raise problems.invalid(detail, param="systems")
    return found


def _uploaded_items(session: Session, project_id: str, given: list[NewStudyItem]) -> list[NewItem]:
    subjects = {f"items[{k}].subject_id": item.subject_id for k, item in enumerate(given) if item.subject_id}
    study_items.lock_subjects(session, project_id, subjects)
    named = {param: image_id for k, item in enumerate(given) for param, image_id in _images(k, item)}
    study_items.lock_images(session, project_id, named)
    return [
        NewItem(
            prompt=item.prompt,
            results={system: NewImage(image_id=image_id) for system, image_id in item.results.items()},
            subject_id=item.subject_id,
            source=NewImage(image_id=item.source_image_id) if item.source_image_id else None,
            references=[NewImage(image_id=image_id) for image_id in item.reference_image_ids],
        )
        for item in given
    ]


def _images(number: int, item: NewStudyItem) -> Iterable[tuple[str, str]]:
    """The place and id of each image of an item."""
    for system, image_id in item.results.items():
        yield f"items[{number}].results.{system}", image_id
    for place, image_id in enumerate(item.reference_image_ids):
        yield f"items[{number}].reference_image_ids[{place}]", image_id
    if item.source_image_id is not None:
        yield f"items[{number}].source_image_id", item.source_image_id


def _bodies(service: Service, caller: Caller, session: Session, rows: Iterable[Study]) -> Callable[[Study], StudyBody]:
    """A function that makes the body of each of these studies."""
    links, counts = StudyLinks(service.settings), studies.counts(session, list(rows))
    can_write = "write" in caller.scopes
    return lambda study: StudyBody.of(study, counts[study.id], links.token(study.id) if can_write else None)


def _found(study: Study | None, study_id: str) -> Study:
    if study is None:
        raise problems.not_found("study", study_id)
    return study


def _closed(service: Service, caller: Caller, study_id: str) -> tuple[Study, list[Row]]:
    """The study and its answers. Raises Problem while it is open."""
    with service.begin() as session:
        study = _found(studies.get(session, caller.project_id, study_id), study_id)
        if study.closed_at is None:
            raise Problem("study_open", f"a study has results once it is closed: POST /v1/studies/{study_id}/close")
        return study, studies.answers(session, study_id)


def _answer(rater: StudyRater, answer: StudyAnswer, item: StudyItem) -> study_statistics.Answer:
    return study_statistics.Answer(
        rater=rater.number,
        item=item.id,
        question=answer.question,
        kind=answer.kind,
        left=answer.left_system,
        right=answer.right_system,
        side=answer.answer,
        seconds=answer.seconds,
    )


def _csv(study: Study, rows: Iterable[Row], excluded: Mapping[int, str]) -> str:
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(COLUMNS)
    for row in rows:
        rater, answer, item = row
        line = (
            study.name, rater.number, excluded[rater.number], answer.number, answer.kind, item.position + 1,
            item.prompt, item.seed, answer.question, answer.left_system, answer.right_system, answer.answer,
            _answer(*row).preferred or "", answer.seconds, answer.created_at.isoformat(),
        )  # fmt: skip
        writer.writerow([_cell(value) for value in line])
    return table.getvalue()


def _cell(value: Any) -> Any:
    """The value, with an apostrophe before a text that a spreadsheet would run as a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_SIGNS) else value
