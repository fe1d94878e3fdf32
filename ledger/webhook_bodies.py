"""Bodies of webhooks: the bytes that every attempt sends, with signed URLs of files, never above LARGEST_BODY.

The bytes are stored once, and retries go on for days. The URLs are short-lived, so late attempts bring URLs that have
expired: the body says when (`urls_expire_at`), and where to read new ones (`result_path`).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ledger.artefacts import NewArtefact
from ledger.storage import Storage

LARGEST_BODY = 20_000
LONGEST_DETAIL = 1000
LISTED = ("adapter", "manifest", "source_mask")
"""The roles of the files of a prior or a mask that a webhook lists. A prior may also have snapshots."""


def encode(event_type: str, moment: datetime, data: Mapping[str, Any]) -> bytes:
    """The message (Standard Webhooks 1.0, "Payload structure"). If it would be too long, it lacks some facts.

    Left out are the results' prompts, then also the metadata, then also the files; last, the error's text is cut.
    """
    for reduced in _reductions(data):
        message = {"type": event_type, "timestamp": moment.isoformat(), "data": reduced}
        body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
        if len(body) <= LARGEST_BODY:
            break
    return body


def of_end(storage: Storage, kind: str, files: Sequence[NewArtefact]) -> dict[str, Any]:
    """The facts of a job that succeeded, by its kind. Captions have no files."""
    if kind == "captions":
        return {}
    return of_edit(storage, files) if kind == "edit" else of_files(storage, files)


def of_edit(storage: Storage, files: Sequence[NewArtefact]) -> dict[str, Any]:
    """The facts of an edit that succeeded: the image of each result, in the order of the results."""
    images = [file for file in files if file.role == "image"]
    results = [_result(storage, number, [image]) for number, image in enumerate(images, start=1)]
    return {"results": results, "urls_expire_at": _expiry(storage)}


def of_files(storage: Storage, files: Sequence[NewArtefact]) -> dict[str, Any]:
    """The facts of a prior or a mask that succeeded: its files."""
    found = [{"role": file.role, **_file(storage, file)} for file in files if file.role in LISTED]
    return {"files": found, "urls_expire_at": _expiry(storage)}


def of_output(storage: Storage, number: int, files: Sequence[NewArtefact]) -> dict[str, Any]:
    """The facts of result number `number` of an edit: its image, its masks and the image without the composite."""
    return {"output": _result(storage, number, files), "urls_expire_at": _expiry(storage)}


def _result(storage: Storage, number: int, files: Sequence[NewArtefact]) -> dict[str, Any]:
    details = files[0].details
    return {
        "number": number,
        "prompt": details.get("target_prompt"),
        "seed": details.get("seed"),
        **{file.role: _file(storage, file) for file in files},
    }


def _file(storage: Storage, file: NewArtefact) -> dict[str, Any]:
    url = storage.presign_get(file.stored.key, filename=file.name, seconds=storage.settings.webhook_file_seconds)
    return {
        "name": file.name,
        "content_type": file.content_type,
        "size": file.stored.size,
        "sha256": file.stored.sha256,
        "url": url,
    }


def _expiry(storage: Storage) -> str:
    now = datetime.now(UTC).replace(microsecond=0)
    return (now + timedelta(seconds=storage.settings.webhook_file_seconds)).isoformat()


def _reductions(data: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The data, and then with fewer and fewer facts."""
    reduced = dict(data)
    yield reduced
    if "results" in reduced:
        reduced["results"] = [
            {name: value for name, value in result.items() if name != "prompt"} for result in reduced["results"]
        ]
        yield reduced
    for names in (("metadata",), ("results", "files", "output", "urls_expire_at")):
        reduced = {name: value for name, value in reduced.items() if name not in names}
        yield reduced
    if "error" in reduced:
        yield reduced | {"error": reduced["error"] | {"detail": reduced["error"]["detail"][:LONGEST_DETAIL]}}
