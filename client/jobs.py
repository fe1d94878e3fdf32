"""Jobs: trainings and edits at work. How to follow one is in `blocking.py` and `awaiting.py`."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from client.call import Call, Listing, at, create, filters
from client.files import saved
from client.models import Artefact, Image, Job, Kind, Status
from client.operations import listing, verb


class Jobs:
    """The calls on jobs, and the way to the files that they made."""

    @verb
    def job(self, job: Job | str) -> Call[Job]:
        """The job as it stands now."""
        return Call("GET", at("jobs", job), Job.model_validate_json)

    @listing
    def jobs(
        self,
        *,
        status: Status | None = None,
        kind: Kind | None = None,
        metadata: Mapping[str, str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> Listing[Job]:
        """All jobs, newest first."""
        query = filters(
            status=status, kind=kind, metadata=metadata, created_after=created_after, created_before=created_before
        )
        return Listing(at("jobs"), Job, query)

    @verb
    def cancel(self, job: Job | str) -> Call[Job]:
        """Stop a job: at once if it waits, at its next step if it runs."""
        return Call("POST", at("jobs", job, "cancel"), Job.model_validate_json)

    @verb
    def retry(self, job: Job | str, *, idempotency_key: str | None = None) -> Call[Job]:
        """A new job with the parameters of one that did not succeed."""
        return create(at("jobs", job, "retry"), Job.model_validate_json, idempotency_key=idempotency_key)

    @verb
    def download(self, file: Artefact | Image | str, path: Path | str) -> Call[Path]:
        """Fetch a file whole or not at all; an artefact's is checked by its hash. A text is a signed URL.

        Raises OSError where the bytes are not those that the service promised.
        """
        url = file if isinstance(file, str) else file.url
        if url is None:
            raise ValueError("this answer has no URL: ask for the image by its id")
        sha256 = None if isinstance(file, str) else file.sha256
        return Call("GET", url, lambda content: saved(content, Path(path), sha256))
