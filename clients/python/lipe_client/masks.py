"""Operations on masks: have the service find the subject in an image, and read the mask."""

from collections.abc import Mapping, Sequence

from lipe_client.call import Call, create, id_of, path_of
from lipe_client.models import Image, Job, Mask, PriorSummary, Subject
from lipe_client.operations import operation


class Masks:
    """The operations on masks."""

    @operation
    def request_mask(
        self,
        *,
        image: Image | str,
        subject: Subject | str | None = None,
        prior: PriorSummary | str | None = None,
        metadata: Mapping[str, str] | None = None,
        webhook_url: str | None = None,
        webhook_events: Sequence[str] | None = None,
        deadline_seconds: float | None = None,
        priority: int | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Job]:
        """Find the subject in an image. Give either the subject or one of its priors.

        Read the result with `mask` when the job has succeeded. To bound an edit by it, let it grow to where the subject
        may move, upload it with `upload_image`, and give it to `edit`.
        """
        body = {
            "image_id": id_of(image),
            "subject_id": id_of(subject) if subject is not None else None,
            "prior_id": id_of(prior) if prior is not None else None,
            "metadata": metadata,
            "webhook_url": webhook_url,
            "webhook_events": list(webhook_events) if webhook_events is not None else None,
            "deadline_seconds": deadline_seconds,
            "priority": priority,
        }
        return create(path_of("masks"), Job.model_validate_json, body, idempotency_key=idempotency_key)

    @operation
    def mask(self, job: Job | str) -> Call[Mask]:
        """The mask that a job has found, with a signed URL of its file."""
        return Call("GET", path_of("masks", job), Mask.model_validate_json)
