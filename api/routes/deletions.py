"""Deletions of images, subjects, priors and edits, each with everything derived from it."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy.orm import Session

from api import problems
from api.auth import CallerDep
from api.fields import PathId
from api.problems import Problem, UsedBy, problem_responses
from api.service import Service, ServiceDep
from ledger import erasures
from ledger.database import repeat_conflicts
from ledger.models import Erasure
from ledger.storage import StorageError

router = APIRouter()
Erase = Callable[[Session, str, str], Erasure | None]

log = logging.getLogger(__name__)


@router.delete(
    "/images/{image_id}",
    status_code=204,
    operation_id="delete_image",
    tags=["images"],
    responses=problem_responses("not_found", "image_in_use"),
)
def delete_image(
    image_id: PathId,
    service: ServiceDep,
    caller: CallerDep,
    cascade: Annotated[
        bool,
        Query(
            description="Delete also the edits and the items of studies that use the image, and the subjects that it "
            "is a reference of, with everything derived from them. Default: false, then an image in use is refused. "
            "Set it to true to erase every trace of the image."
        ),
    ] = False,
) -> None:
    """Delete an image. If subjects, edits or studies use it, the refusal lists them in `used_by`."""
    erase = erasures.erase_image_with_users if cascade else erasures.erase_image
    try:
        _erase(service, erase, "image", caller.project_id, image_id)
    except erasures.InUse as error:
        detail = (
            "delete the subjects, edits and studies in `used_by` first, remove the reference, or add `?cascade=true`"
        )
        raise _in_use("image_in_use", detail, error) from error


@router.delete(
    "/subjects/{subject_id}",
    status_code=204,
    operation_id="delete_subject",
    tags=["subjects"],
    responses=problem_responses("not_found"),
)
def delete_subject(subject_id: PathId, service: ServiceDep, caller: CallerDep) -> None:
    """Erase a subject and everything derived from it: priors, edits, jobs, their files, items of studies that show it,
    and references that nothing else uses. Edits of other subjects that mixed in one of its priors are erased, too. Its
    queued jobs never start, and running ones stop. A study that loses an item is closed."""
    _erase(service, erasures.erase_subject, "subject", caller.project_id, subject_id)


@router.delete(
    "/priors/{prior_id}",
    status_code=204,
    operation_id="delete_prior",
    tags=["priors"],
    responses=problem_responses("not_found", "prior_in_use"),
)
def delete_prior(prior_id: PathId, service: ServiceDep, caller: CallerDep) -> None:
    """Erase a prior, its files and its training, which stops if it runs. Finished edits that used the prior stay, and
    the newest remaining ready prior is the subject's default."""
    try:
        _erase(service, erasures.erase_prior, "prior", caller.project_id, prior_id)
    except erasures.InUse as error:
        detail = "queued or running edits need the prior: wait for them, or delete the edits in `used_by` first"
        raise _in_use("prior_in_use", detail, error) from error


@router.delete(
    "/edits/{edit_id}",
    status_code=204,
    operation_id="delete_edit",
    tags=["edits"],
    responses=problem_responses("not_found"),
)
def delete_edit(edit_id: PathId, service: ServiceDep, caller: CallerDep) -> None:
    """Erase an edit, its jobs, its files and the items of studies that show it. A queued job never starts, and a
    running one stops. The source image and the mask of the request stay."""
    _erase(service, erasures.erase_edit, "edit", caller.project_id, edit_id)


def _erase(service: Service, erase: Erase, noun: str, project_id: str, resource_id: str) -> None:
    """Delete the rows, then their objects. Raises Problem and erasures.InUse."""
    erasure = repeat_conflicts(partial(_commit, service, erase, project_id, resource_id))
    if erasure is None:
        raise problems.not_found(noun, resource_id)
    try:
        erasures.sweep(service.begin, service.storage, erasure.id, settle_seconds=service.settings.lease_seconds)
    except StorageError as error:  # the dispatcher completes the erasure later
        log.warning("erasure %s is unfinished: %s", erasure.id, error)


def _commit(service: Service, erase: Erase, project_id: str, resource_id: str) -> Erasure | None:
    with service.begin() as session:
        return erase(session, project_id, resource_id)


def _in_use(code: str, detail: str, error: erasures.InUse) -> Problem:
    users = error.users
    used_by = UsedBy(subjects=users.subjects, edits=users.edits, studies=users.studies)
    return Problem(code, detail, used_by=used_by)
