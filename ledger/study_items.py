"""The items of a new study: from the edits of several systems, or from uploaded images.

All that an item names is locked, so that it cannot be erased before the study is written. The order is that of an
erasure: subjects, edits, images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.models import Artefact, Edit, Image, Job, Subject
from ledger.states import State

MAX_REFERENCES = 5
"""References that a rater sees beside an item."""


class NotFound(Exception):
    """The project does not have what the item or the system names: `noun`, `identifier`, and its place."""

    def __init__(self, noun: str, identifier: str, param: str) -> None:
        super().__init__(f"there is no {noun} {identifier}")
        self.noun, self.identifier, self.param = noun, identifier, param


@dataclass(frozen=True)
class NewImage:
    """An uploaded image, or an artefact of an edit."""

    image_id: str | None = None
    edit_id: str | None = None
    artefact_id: str | None = None


@dataclass(frozen=True)
class NewItem:
    """One case: the results of at least two systems, and what the rater sees beside them."""

    prompt: str
    results: Mapping[str, NewImage]
    subject_id: str | None = None
    source: NewImage | None = None
    references: Sequence[NewImage] = ()
    seed: int | None = None


@dataclass
class _Group:
    """Results of edits with the same subject, image, prompt and seed."""

    edit: Edit
    prompt: str
    seed: int | None
    results: dict[str, NewImage] = field(default_factory=dict)


def items_of_edits(session: Session, project_id: str, systems: Mapping[str, Sequence[str]]) -> list[NewItem]:
    """Items from the edits of each system: results of the same subject, image, prompt and seed belong together.

    Results without a counterpart are left out. The edits and their subjects cannot be erased before the transaction
    ends. Raises NotFound, also for an edit that has not succeeded.
    """
    edits = _lock_edits(session, project_id, [edit_id for ids in systems.values() for edit_id in ids])
    made = select(Artefact, Job.edit_id).join(Job, Job.id == Artefact.job_id)
    made = made.where(Job.edit_id.in_(edits), Job.state == State.SUCCEEDED, Artefact.role == "image")
    results: dict[str, list[Artefact]] = {}
    for artefact, edit_id in session.execute(made.order_by(Artefact.job_id, Artefact.position)):
        if edit_id is not None:
            results.setdefault(edit_id, []).append(artefact)
    groups: dict[tuple[Any, ...], _Group] = {}
    for system, ids in systems.items():
        for place, edit_id in enumerate(ids):
            if edit_id not in results:
                noun = "finished result of the edit" if edit_id in edits else "edit"
                raise NotFound(noun, edit_id, f"systems.{system}[{place}]")
            for artefact in results[edit_id]:
                prompt, seed = str(artefact.details.get("target_prompt") or ""), artefact.details.get("seed")
                edit = edits[edit_id]
                group = groups.setdefault((edit.subject_id, edit.image_id, prompt, seed), _Group(edit, prompt, seed))
                group.results.setdefault(system, NewImage(edit_id=edit_id, artefact_id=artefact.id))
    subjects = _references(session, {group.edit.subject_id for group in groups.values()})
    return [
        NewItem(
            prompt=group.prompt,
            results=group.results,
            subject_id=group.edit.subject_id,
            source=NewImage(image_id=group.edit.image_id),
            references=subjects[group.edit.subject_id],
            seed=group.seed,
        )
        for group in groups.values()
        if len(group.results) > 1
    ]


def lock_images(session: Session, project_id: str, named: Mapping[str, str]) -> None:
    """Keep images from being erased before the transaction ends. `named`: ids by their place. Raises NotFound."""
    mine = select(Image.id).where(Image.project_id == project_id, Image.id.in_(set(named.values())))
    found = set(session.scalars(mine.order_by(Image.id).with_for_update(read=True, key_share=True)))
    for param, image_id in named.items():
        if image_id not in found:
            raise NotFound("image", image_id, param)


def lock_subjects(session: Session, project_id: str, named: Mapping[str, str]) -> None:
    """The same for subjects. Lock them before images."""
    found = _lock_subjects(session, project_id, set(named.values()))
    for param, subject_id in named.items():
        if subject_id not in found:
            raise NotFound("subject", subject_id, param)


def _lock_edits(session: Session, project_id: str, edit_ids: Sequence[str]) -> dict[str, Edit]:
    """The project's edits among these, by id. Their subjects are locked first, as an erasure does."""
    mine = (Edit.project_id == project_id, Edit.id.in_(edit_ids))
    subjects = {
        one for row in session.execute(select(Edit.subject_id, Edit.mix_subject_id).where(*mine)) for one in row
    }
    _lock_subjects(session, project_id, {one for one in subjects if one})
    found = session.scalars(select(Edit).where(*mine).order_by(Edit.id).with_for_update(read=True, key_share=True))
    edits = {edit.id: edit for edit in found}
    images = select(Image.id).where(Image.id.in_({edit.image_id for edit in edits.values()}))
    session.execute(images.order_by(Image.id).with_for_update(read=True, key_share=True))
    return edits


def _lock_subjects(session: Session, project_id: str, subject_ids: set[str]) -> set[str]:
    mine = select(Subject.id).where(Subject.project_id == project_id, Subject.id.in_(subject_ids))
    return set(session.scalars(mine.order_by(Subject.id).with_for_update(read=True, key_share=True)))


def _references(session: Session, subject_ids: set[str]) -> dict[str, list[NewImage]]:
    """The first references of subjects, locked."""
    found = session.scalars(select(Subject).where(Subject.id.in_(subject_ids)))
    ids = {one.id: [reference.image_id for reference in one.references[:MAX_REFERENCES]] for one in found}
    images = select(Image.id).where(Image.id.in_({image_id for images in ids.values() for image_id in images}))
    kept = set(session.scalars(images.order_by(Image.id).with_for_update(read=True, key_share=True)))
    return {
        one: [NewImage(image_id=image_id) for image_id in images if image_id in kept] for one, images in ids.items()
    }
