"""Fetching of a file from a user's URL, for an upload.

This program never decodes the file: it stores the bytes, and the API reads them in a process without a way out.
"""

import logging

from ledger import fetches
from ledger.addresses import Forbidden
from ledger.database import UnitOfWork
from ledger.fetches import Failure
from ledger.safehttp import TooLarge, Unreachable, get
from ledger.storage import Storage
from ledger.uploads import file_key

log = logging.getLogger(__name__)


def fetch(begin: UnitOfWork, storage: Storage, upload_id: str, *, allow_private: bool, max_bytes: int) -> None:
    """Fetch and store the upload's file, or record why there is none. Does nothing if no request waits for it any more.

    Raises StorageError. The request then waits until its time is over.
    """
    with begin() as session:
        upload = fetches.wanted(session, upload_id)
    if upload is None or upload.source_url is None:
        return
    failure: Failure
    try:
        content = get(upload.source_url, allow_private=allow_private, max_bytes=max_bytes)
    except Forbidden as error:
        failure, detail = "image_url_forbidden", str(error)
    except Unreachable as error:
        failure, detail = "image_url_unreachable", str(error)
    except TooLarge as error:
        failure, detail = "image_too_large", str(error)
    else:
        storage.put_file(file_key(upload.project_id, upload.id), content, fetches.CONTENT_TYPE)
        with begin() as session:
            fetches.record_file(session, upload_id, len(content))
        return
    log.info("upload %s: %s: %s", upload_id, failure, detail)
    with begin() as session:
        fetches.record_failure(session, upload_id, failure, detail)


def find_project(begin: UnitOfWork, upload_id: str) -> str | None:
    """The project of an upload. None: no request waits for it any more."""
    with begin() as session:
        upload = fetches.wanted(session, upload_id)
    return upload.project_id if upload is not None else None
