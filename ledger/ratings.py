"""The raters of a study: their next questions, and their answers.

A rater is a session of a browser. A row exists from the first answer on, so that opening the link takes no place.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from ledger import consents, studies
from ledger.models import Artefact, Image, Study, StudyAnswer, StudyImage, StudyItem, StudyRater, new_id
from ledger.storage import StoredObject
from ledger.study_links import StudyLinks
from ledger.study_plan import Side, Task, plan


class Closed(Exception):
    """The study takes no answers: its owner closed it, or the consent of a person shown has ended."""


class Erased(Exception):
    """The study existed, and was deleted."""


class Full(Exception):
    """The study has all the raters that it may have; `raters` is their number."""

    def __init__(self, raters: int) -> None:
        super().__init__(f"{raters} raters have answered")
        self.raters = raters


class UnknownQuestion(Exception):
    """The rater has only `total` questions."""

    def __init__(self, total: int) -> None:
        super().__init__(f"there are {total} questions")
        self.total = total


@dataclass(frozen=True)
class Turn:
    """A question to a rater: its number, the task, the prompt, and the images by role or system."""

    number: int
    task: Task
    prompt: str
    images: Sequence[StudyImage]

    def ids_of(self, role: str, system: str | None = None) -> list[str]:
        """The ids of the images with this role and system, in order."""
        return [one.id for one in self.images if one.role == role and one.system == system]


@dataclass(frozen=True)
class Progress:
    """How many of a rater's questions are answered, and the next of the others."""

    study: Study
    answered: int
    total: int
    turns: Sequence[Turn] = ()


@dataclass(frozen=True)
class NewAnswer:
    """An answer to the question `number`; `seconds` is the time that it took, as the browser measured it."""

    number: int
    side: Side
    seconds: float


def progress(session: Session, links: StudyLinks, study_id: str, rater: str, limit: int) -> Progress:
    """The rater's progress, and the next `limit` questions. Raises Closed, Erased and Full."""
    study, digest = _open_study(session, study_id), _digest(rater)
    known = _rater(session, study_id, digest)
    if known is None:
        _require_place(session, study)
    tasks = _plan(session, links, study, digest)
    answered = set(session.scalars(select(StudyAnswer.number).where(StudyAnswer.rater_id == known.id))) if known else ()
    waiting = [number for number in range(1, len(tasks) + 1) if number not in answered][:limit]
    return Progress(study, len(answered), len(tasks), _turns(session, {one: tasks[one - 1] for one in waiting}))


def answer(session: Session, links: StudyLinks, study_id: str, rater: str, new_answer: NewAnswer) -> Progress:
    """Record an answer, unless the question has one: the first counts.

    Raises Closed, Erased, Full and UnknownQuestion.
    """
    study, digest = _open_study(session, study_id, lock=True), _digest(rater)
    tasks = _plan(session, links, study, digest)
    if new_answer.number > len(tasks):
        raise UnknownQuestion(len(tasks))
    task = tasks[new_answer.number - 1]
    known = _rater(session, study_id, digest) or _add_rater(session, study, digest)
    values = {
        "rater_id": known.id,
        "number": new_answer.number,
        "item_id": task.item_id,
        "question": task.question,
        "kind": task.kind,
        "left_system": task.left,
        "right_system": task.right,
        "answer": new_answer.side,
        "seconds": new_answer.seconds,
    }
    session.execute(insert(StudyAnswer).values(values).on_conflict_do_nothing())
    answered = session.scalar(select(func.count()).where(StudyAnswer.rater_id == known.id)) or 0
    return Progress(study, answered, len(tasks))


def image(session: Session, image_id: str) -> tuple[StoredObject, str] | None:
    """The object and media type of an image of an open study, or None."""
    query = (
        select(Study.id, Image, Artefact)
        .select_from(StudyImage)
        .join(StudyItem, StudyItem.id == StudyImage.item_id)
        .join(Study, Study.id == StudyItem.study_id)
        .outerjoin(Image, Image.id == StudyImage.image_id)
        .outerjoin(Artefact, Artefact.id == StudyImage.artefact_id)
        .where(StudyImage.id == image_id, Study.closed_at.is_(None))
    )
    for study_id, upload, artefact in session.execute(query):
        found = upload or artefact
        if not consents.ended(session, studies.subjects(session, study_id)):
            return StoredObject(found.key, found.size, found.sha256), found.content_type
    return None


def _open_study(session: Session, study_id: str, *, lock: bool = False) -> Study:
    """The study. With `lock` it stays open until the transaction ends, and new raters wait for each other."""
    query = select(Study).where(Study.id == study_id)
    study = session.scalars(query.with_for_update(key_share=True) if lock else query).first()
    if study is None:
        raise Erased
    if study.closed_at is not None or consents.ended(session, studies.subjects(session, study_id)):
        raise Closed
    return study


def _plan(session: Session, links: StudyLinks, study: Study, digest: bytes) -> list[Task]:
    cases = studies.cases(session, [study.id])[study.id]
    return plan(links.plan_key(study.id, digest), cases, study.questions, studies.shape_of(study))


def _turns(session: Session, tasks: dict[int, Task]) -> list[Turn]:
    items = {task.item_id for task in tasks.values()}
    prompts = {row.id: row.prompt for row in session.scalars(select(StudyItem).where(StudyItem.id.in_(items)))}
    images: dict[str, list[StudyImage]] = {}
    query = select(StudyImage).where(StudyImage.item_id.in_(items)).order_by(StudyImage.position)
    for one in session.scalars(query):
        images.setdefault(one.item_id, []).append(one)
    return [Turn(number, task, prompts[task.item_id], images[task.item_id]) for number, task in sorted(tasks.items())]


def _rater(session: Session, study_id: str, digest: bytes) -> StudyRater | None:
    mine = (StudyRater.study_id == study_id, StudyRater.digest == digest)
    return session.scalars(select(StudyRater).where(*mine)).first()


def _add_rater(session: Session, study: Study, digest: bytes) -> StudyRater:
    number = _require_place(session, study) + 1
    rater = StudyRater(id=new_id("rtr"), project_id=study.project_id, study_id=study.id, digest=digest, number=number)
    session.add(rater)
    session.flush()
    return rater


def _require_place(session: Session, study: Study) -> int:
    """The number of raters. Raises Full."""
    raters = session.scalar(select(func.count()).select_from(StudyRater).where(StudyRater.study_id == study.id)) or 0
    if raters >= study.max_raters:
        raise Full(raters)
    return raters


def _digest(rater: str) -> bytes:
    return hashlib.sha256(rater.encode()).digest()
