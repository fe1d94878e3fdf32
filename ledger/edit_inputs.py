"""The inputs of a new edit, looked up by one query: subject, prior, image and mask."""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Executable, String, and_, bindparam, func, literal, or_, select
from sqlalchemy.orm import Session, aliased

from ledger import workers
from ledger.compiled_statement import CompiledStatement
from ledger.consents import has_ended
from ledger.models import Image, Prior, Subject


class EditInputs(NamedTuple):
    """A field is None if the project has no such row. `ready_at` is the prior's; sizes are in pixels.

    `faces`: the number that was found in the image, None if the service did not look.
    `consent_ended`: the person shown had agreed, and that consent has ended. `base_model` is the fingerprint of the
    one that the prior was trained on; None for a prior of before.
    """

    subject_id: str | None
    token: str | None
    class_noun: str | None
    prior_id: str | None
    ready_at: datetime | None
    width: int | None
    height: int | None
    mask_width: int | None
    mask_height: int | None
    faces: int | None
    consent_ended: bool
    base_model: str | None


def find(
    session: Session,
    project_id: str,
    *,
    subject_id: str | None,
    prior_id: str | None,
    image_id: str,
    mask_image_id: str | None,
    base_model: str | None = None,
) -> EditInputs:
    """Look up by the prior, with its subject; or by the subject, with a ready prior if there is one.

    It is the newest one of a base model that a live worker has loaded, or else the newest one. With the fingerprint
    `base_model`, it is one of that base model.
    """
    named = {"project": project_id, "subject": subject_id, "prior": prior_id, "image": image_id, "mask": mask_image_id}
    named["base_model"] = base_model
    (found,) = _FIND(session, **named)
    return EditInputs(*found)


def _find() -> Executable:
    project, subject, prior = (bindparam(name, type_=String) for name in ("project", "subject", "prior"))
    wanted = bindparam("base_model", type_=String)
    is_wanted = or_(wanted.is_(None), _base_model(Prior) == wanted)
    ready = (Prior.project_id == project, Prior.subject_id == subject, Prior.ready_at.is_not(None), is_wanted)
    fits = workers.has_loaded("edit", _base_model(Prior))
    newest = select(Prior.id).where(*ready).order_by(fits.desc(), Prior.ready_at.desc()).limit(1).scalar_subquery()
    chosen, mask = aliased(Prior), aliased(Image)
    one = select(literal(1)).subquery()

    def mine(table: Any, identifier: ColumnElement[Any]) -> ColumnElement[bool]:
        return and_(table.project_id == project, table.id == identifier)

    return (
        select(
            Subject.id, Subject.token, Subject.class_noun, chosen.id, chosen.ready_at,
            Image.width, Image.height, mask.width, mask.height, Image.faces, has_ended(Subject.id), _base_model(chosen),
        )
        .select_from(one)
        .outerjoin(chosen, mine(chosen, func.coalesce(prior, newest)))
        .outerjoin(Subject, mine(Subject, func.coalesce(subject, chosen.subject_id)))
        .outerjoin(Image, mine(Image, bindparam("image", type_=String)))
        .outerjoin(mask, mine(mask, bindparam("mask", type_=String)))
    )  # fmt: skip


def _base_model(prior: Any) -> ColumnElement[str]:
    fingerprint: ColumnElement[str] = prior.manifest["fingerprint"].astext
    return fingerprint


_FIND = CompiledStatement(_find())
