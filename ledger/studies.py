"""Studies, as their owner sees them: create, list, close, and read the answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select, union, update
from sqlalchemy.orm import Session

from ledger.models import Edit, Study, StudyAnswer, StudyImage, StudyItem, StudyRater, new_id
from ledger.pages import NEWEST, Page, Window, newest
from ledger.study_items import NewImage, NewItem
from ledger.study_plan import Case, Shape, count


@dataclass(frozen=True)
class Counts:
    """Facts about a study's rows. `questions` is the number that each rater gets."""

    items: int
    systems: list[str]
    raters: int
    finished_raters: int
    answers: int
    questions: int


def create(
    session: Session,
    project_id: str,
    name: str,
    items: Sequence[NewItem],
    *,
    questions: Sequence[str],
    shape: Shape,
    max_raters: int,
    exclusion: Mapping[str, Any],
) -> Study:
    """Create an open study. The caller has locked all that the items name."""
    study = Study(
        id=new_id("sty"),
        project_id=project_id,
        name=name,
        questions=list(questions),
        exclusion=dict(exclusion),
        attention_checks=shape.checks,
        repeats=shape.repeats,
        questions_per_rater=shape.questions,
        max_raters=max_raters,
    )
    session.add(study)
    session.flush()
    rows = [(new_id("itm"), item) for item in items]
    for position, (item_id, item) in enumerate(rows):
        session.add(
            StudyItem(
                id=item_id,
                project_id=project_id,
                study_id=study.id,
                subject_id=item.subject_id,
                position=position,
                prompt=item.prompt,
                seed=item.seed,
            )
        )
    session.flush()
    for item_id, item in rows:
        session.add_all(_images(project_id, item_id, item))
    session.flush()
    return study


def get(session: Session, project_id: str, study_id: str) -> Study | None:
    """The project's study, or None."""
    return session.scalars(select(Study).where(Study.project_id == project_id, Study.id == study_id)).first()


def listing(session: Session, project_id: str, window: Window = NEWEST) -> Page[Study]:
    """The project's studies, newest first."""
    return newest(session, select(Study).where(Study.project_id == project_id), Study, window)


def close(session: Session, project_id: str, study_id: str) -> Study | None:
    """Close the study, unless it is closed. From then on it takes no answer. None: not there."""
    mine = (Study.project_id == project_id, Study.id == study_id)
    session.execute(update(Study).where(*mine, Study.closed_at.is_(None)).values(closed_at=func.clock_timestamp()))
    return get(session, project_id, study_id)


def shape_of(study: Study) -> Shape:
    """How many questions its raters get."""
    return Shape(study.questions_per_rater, study.repeats, study.attention_checks)


def cases(session: Session, study_ids: Sequence[str]) -> dict[str, list[Case]]:
    """The items of studies in order, with the systems of each."""
    query = (
        select(StudyItem.study_id, StudyItem.id, func.array_agg(StudyImage.system))
        .join(StudyImage, StudyImage.item_id == StudyItem.id)
        .where(StudyItem.study_id.in_(study_ids), StudyImage.role == "result")
        .group_by(StudyItem.id)
        .order_by(StudyItem.position)
    )
    found: dict[str, list[Case]] = {study_id: [] for study_id in study_ids}
    for study_id, item_id, systems in session.execute(query):
        found[study_id].append(Case(item_id, tuple(sorted(filter(None, systems)))))
    return found


def counts(session: Session, studies: Sequence[Study]) -> dict[str, Counts]:
    """The counts of several studies."""
    ids = [study.id for study in studies]
    per_rater = (
        select(StudyRater.study_id, func.count(StudyAnswer.number))
        .outerjoin(StudyAnswer, StudyAnswer.rater_id == StudyRater.id)
        .where(StudyRater.study_id.in_(ids))
        .group_by(StudyRater.id)
    )
    answered: dict[str, list[int]] = {study_id: [] for study_id in ids}
    for study_id, number in session.execute(per_rater):
        answered[study_id].append(number)
    items = cases(session, ids)
    found = {}
    for study in studies:
        total = count(items[study.id], study.questions, shape_of(study))
        found[study.id] = Counts(
            items=len(items[study.id]),
            systems=sorted({system for case in items[study.id] for system in case.systems}),
            raters=len(answered[study.id]),
            finished_raters=sum(number >= total for number in answered[study.id]),
            answers=sum(answered[study.id]),
            questions=total,
        )
    return found


def subjects(session: Session, study_id: str) -> list[str]:
    """The subjects that the study shows, also those that an edit mixed in."""
    items = select(StudyItem.subject_id).where(StudyItem.study_id == study_id)
    mixed = select(Edit.mix_subject_id).join(StudyImage, StudyImage.edit_id == Edit.id)
    mixed = mixed.join(StudyItem, StudyItem.id == StudyImage.item_id).where(StudyItem.study_id == study_id)
    return [one for one in session.scalars(union(items, mixed)) if one is not None]


def answers(session: Session, study_id: str) -> list[tuple[StudyRater, StudyAnswer, StudyItem]]:
    """All answers with their raters and items, in the order in which each rater gave them."""
    query = (
        select(StudyRater, StudyAnswer, StudyItem)
        .join(StudyAnswer, StudyAnswer.rater_id == StudyRater.id)
        .join(StudyItem, StudyItem.id == StudyAnswer.item_id)
        .where(StudyRater.study_id == study_id)
        .order_by(StudyRater.number, StudyAnswer.number)
    )
    return [(rater, answer, item) for rater, answer, item in session.execute(query)]


def delete_items(session: Session, item_ids: Sequence[str]) -> list[str]:
    """Delete items with their images and answers; close their studies. Returns the studies deleted with them.

    A study without items is deleted.
    """
    if not item_ids:
        return []
    studies = set(session.scalars(select(StudyItem.study_id).where(StudyItem.id.in_(item_ids))))
    locked = select(Study.id).where(Study.id.in_(studies)).order_by(Study.id).with_for_update()
    session.execute(locked)
    session.execute(delete(StudyItem).where(StudyItem.id.in_(item_ids)))
    still = (Study.id.in_(studies), Study.closed_at.is_(None))
    session.execute(update(Study).where(*still).values(closed_at=func.clock_timestamp()))
    has_items = select(StudyItem.id).where(StudyItem.study_id == Study.id).exists()
    return list(session.scalars(delete(Study).where(Study.id.in_(studies), ~has_items).returning(Study.id)))


def _images(project_id: str, item_id: str, item: NewItem) -> list[StudyImage]:
    named: list[tuple[str, str | None, NewImage]] = [("reference", None, one) for one in item.references]
    named += [("result", system, one) for system, one in item.results.items()]
    if item.source is not None:
        named.append(("source", None, item.source))
    return [
        StudyImage(
            id=new_id("pic"),
            project_id=project_id,
            item_id=item_id,
            position=position,
            role=role,
            system=system,
            image_id=one.image_id,
            edit_id=one.edit_id,
            artefact_id=one.artefact_id,
        )
        for position, (role, system, one) in enumerate(named)
    ]
