"""Operations on jobs, which run trainings and edits. The clients themselves add `progress` and `wait`."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from lipe_client.call import Call, Listing, create, filters, path_of
from lipe_client.files import save_verified
from lipe_client.models import Artefact, Image, Job, Kind, Status
from lipe_client.operations import list_operation, operation


class Jobs:
    """The operations on jobs and on the files that they produce."""

    @operation
    def job(self, job: Job | str) -> Call[Job]:
        """The current state of a job."""
        return Call("GET", path_of("jobs", job), Job.model_validate_json)

    @list_operation
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
        return Listing(path_of("jobs"), Job, query)

    @operation
    def cancel(self, job: Job | str) -> Call[Job]:
        """Cancel a job. A queued job stops at once, a running one at its next step."""
        return Call("POST", path_of("jobs", job, "cancel"), Job.model_validate_json)

    @operation
    def retry(self, job: Job | str, *, idempotency_key: str | None = None) -> Call[Job]:
        """Create a new job with the parameters of one that did not succeed."""
        return create(path_of("jobs", job, "retry"), Job.model_validate_json, idempotency_key=idempotency_key)

    @operation
    def download(self, file: Artefact | Image | str, path: Path | str) -> Call[Path]:
        """Download a file atomically and return its path. A string is taken as a signed URL.

        Raises OSError if the bytes of an artefact or image do not have the SHA-256 that the service gave.
        """
        url = file if isinstance(file, str) else file.url
        if url is None:
            raise ValueError("the image has no URL: fetch it with `image(id)` first")
        sha256 = None if isinstance(file, str) else file.sha256
        return Call("GET", url, lambda content: save_verified(content, Path(path), sha256))
