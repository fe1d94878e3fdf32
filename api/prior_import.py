"""The file of an imported prior: an upload's file is copied to the prior, checked, and then used up."""

from sqlalchemy.orm import Session

from api import problems
from api.idempotency import IdempotentRequest
from api.image_creation import discard, find_upload
from api.lora_header import START_BYTES, check_header, header_size
from api.problems import Problem
from api.service import Service
from ledger import priors, subjects, uploads
from ledger.idempotency import Answer
from ledger.models import new_id
from ledger.storage import NoSuchObject, StoredObject


def store_lora(idempotent: IdempotentRequest, subject_id: str, upload_id: str) -> Answer | tuple[str, StoredObject]:
    """The new prior's id and its file, or the answer of a repeated request. Raises Problem and StorageError.

    The copy is checked and not the upload, because the upload's URL accepts another file at any time. No transaction
    is open meanwhile; the copy of a request that dies here is an orphan.
    """
    service, project_id = idempotent.service, idempotent.project_id
    with service.begin() as session:
        answer = idempotent.recall(session)
        if answer is not None:
            return answer
        if subjects.get(session, project_id, subject_id) is None:
            raise problems.not_found("subject", subject_id)
        upload = find_upload(uploads.find, session, project_id, upload_id)
    if upload.content_type != uploads.LORA:
        detail = f"the upload was announced as {upload.content_type}: announce a LoRA as {uploads.LORA}"
        raise Problem("lora_invalid", detail, param="upload_id")
    prior_id = new_id("pri")
    target = priors.import_key(project_id, prior_id)
    try:
        stored = service.storage.copy(uploads.file_key(project_id, upload_id), target)
        if stored.size != upload.size:
            detail = f"PUT the file to the upload's URL: it has {stored.size} bytes, not {upload.size}"
            raise Problem("upload_incomplete", detail, param="upload_id")
        _check(service, stored)
    except NoSuchObject as error:
        detail = "PUT the file to the upload's URL: the file is missing"
        raise Problem("upload_incomplete", detail, param="upload_id") from error
    except Problem:
        discard(service, target)
        raise
    return prior_id, stored


def use_upload(session: Session, idempotent: IdempotentRequest, upload_id: str) -> None:
    """Mark the upload as used, in the transaction that creates the prior. Raises Problem."""
    find_upload(uploads.use, session, idempotent.project_id, upload_id)


def _check(service: Service, stored: StoredObject) -> None:
    with service.storage.stream(stored.key) as body:
        size = header_size(body.read(START_BYTES), stored.size)
        header = body.read(size)
    check_header(header, stored.size - START_BYTES - size)
