"""Operations on captions: have the service describe images of a subject, and read what it wrote."""

from collections.abc import Mapping, Sequence

from lipe_client.call import Call, create, id_of, path_of
from lipe_client.models import Captions, Image, Job, Subject
from lipe_client.operations import operation


class CaptionOperations:
    """The operations on captions."""

    @operation
    def request_captions(
        self,
        subject: Subject | str,
        images: Sequence[Image | str] | None = None,
        *,
        action: str | None = None,
        metadata: Mapping[str, str] | None = None,
        webhook_url: str | None = None,
        webhook_events: Sequence[str] | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Job]:
        """Describe images that show the subject, by default its references.

        Read the result with `captions` when the job has succeeded. With an `action`, such as "jumping over a fence",
        each caption comes with a target prompt for an edit of that image.
        """
        body = {
            "subject_id": id_of(subject),
            "image_ids": [id_of(image) for image in images] if images is not None else None,
            "action": action,
            "metadata": metadata,
            "webhook_url": webhook_url,
            "webhook_events": list(webhook_events) if webhook_events is not None else None,
        }
        return create(path_of("captions"), Job.model_validate_json, body, idempotency_key=idempotency_key)

    @operation
    def captions(self, job: Job | str) -> Call[Captions]:
        """The captions of a job. Correct them, then give them to `change_subject` or to `edit`."""
        return Call("GET", path_of("captions", job), Captions.model_validate_json)
