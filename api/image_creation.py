"""Creation of images: a file from a request or from an upload is sanitized, stored and recorded."""

import logging
from collections.abc import Callable

from sqlalchemy.orm import Session

from api import problems
from api.idempotency import IdempotentRequest
from api.image_body import ImageBody
from api.image_sanitizer import SanitizedImage
from api.problems import Problem
from api.quota import check_quotas
from api.service import Service
from ledger import images, quotas, uploads
from ledger.idempotency import Answer
from ledger.models import Upload, new_id
from ledger.storage import NoSuchObject, StorageError, WrongSize, image_prefix

SUFFIXES = {"image/jpeg": "jpg", "image/png": "png"}

log = logging.getLogger(__name__)


def sanitize(service: Service, content: bytes) -> SanitizedImage:
    """The image of an untrusted file. Raises Problem. It waits for a decoder."""
    settings = service.settings
    return service.decoder(
        content,
        max_bytes=settings.max_upload_bytes,
        min_side=settings.min_image_side,
        find_faces=settings.find_faces,
    )


def store_image(idempotent: IdempotentRequest, image: SanitizedImage) -> Answer:
    """Store the image of a request. Raises Problem and StorageError."""
    with idempotent.service.begin() as session:
        answer = idempotent.recall(session)
        if answer is None:
            answer = idempotent.remember(session, _add(session, idempotent, image))
        return answer


def store_upload(idempotent: IdempotentRequest, upload_id: str) -> Answer:
    """Fetch and store the upload's image. A repeated request gets its answer without the file, which is deleted.

    No transaction is open while the file is fetched and decoded. Raises Problem and StorageError.
    """
    service = idempotent.service
    with service.begin() as session:
        answer = idempotent.recall(session)
        if answer is not None:
            return answer
        upload = find_upload(uploads.find, session, idempotent.project_id, upload_id)
    if upload.content_type == uploads.LORA:  # it may be larger than an image, and is not read into memory
        raise Problem("image_format_unsupported", "the upload was announced as a LoRA", param="upload_id")
    try:
        image = sanitize(service, _fetch(service, upload))
    except Problem:
        with service.begin() as session:  # another request may have used the upload and deleted its file
            find_upload(uploads.find, session, idempotent.project_id, upload_id)
        discard(service, uploads.file_key(upload.project_id, upload.id))  # the client may PUT another file
        raise
    with service.begin() as session:
        answer = idempotent.recall(session)
        if answer is None:
            find_upload(uploads.use, session, idempotent.project_id, upload_id)
            answer = idempotent.remember(session, _add(session, idempotent, image, upload_id))
        return answer


def discard(service: Service, key: str) -> None:
    """Delete an object that no row references."""
    try:
        service.storage.delete(key)
    except StorageError as error:
        log.warning("object left behind: %s", error)


def find_upload(
    read: Callable[[Session, str, str], Upload | None], session: Session, project_id: str, upload_id: str
) -> Upload:
    """The upload as `read` returns it. Raises Problem if there is none, or if it was used before."""
    try:
        upload = read(session, project_id, upload_id)
    except uploads.AlreadyUsed as error:
        raise Problem("upload_used", "announce a new upload", param="upload_id") from error
    if upload is None:
        raise problems.not_found("upload", upload_id, param="upload_id")
    return upload


def _fetch(service: Service, upload: Upload) -> bytes:
    try:
        return service.storage.receive(uploads.file_key(upload.project_id, upload.id), upload.size)
    except (NoSuchObject, WrongSize) as error:
        reason = error if isinstance(error, WrongSize) else "the file is missing"
        raise Problem("upload_incomplete", f"PUT the file to the upload's URL: {reason}", param="upload_id") from error


def _add(
    session: Session, idempotent: IdempotentRequest, image: SanitizedImage, upload_id: str | None = None
) -> Answer:
    """Store the object, then the row, so that no row references a missing object."""
    image_id, project_id = new_id("img"), idempotent.project_id
    name = f"image.{SUFFIXES[image.content_type]}"
    stored = idempotent.service.storage.put(image_prefix(project_id, image_id), name, image.content, image.content_type)
    row = images.add(
        session,
        project_id,
        image_id,
        stored,
        width=image.width,
        height=image.height,
        content_type=image.content_type,
        upload_id=upload_id,
        faces=image.faces,
        credentials=image.credentials,
    )
    try:
        check_quotas(quotas.of_images(session, project_id, idempotent.service.settings))
    except Problem:
        discard(idempotent.service, stored.key)
        raise
    return Answer(201, ImageBody.model_validate(row).model_dump(mode="json"), {"Location": f"/v1/images/{row.id}"})
