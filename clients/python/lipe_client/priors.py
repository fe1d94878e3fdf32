"""Operations on priors: train or import one for a subject, read its files, choose its snapshot, delete it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from lipe_client.call import Call, Listing, create, filters, fingerprint_of, no_content, path_of
from lipe_client.dry_runs import dry_run_of
from lipe_client.models import Job, Preset, Prior, PriorSummary, ServedModel, Snapshot, Status, Subject, Upload
from lipe_client.operations import list_operation, operation


class Priors:
    """The operations on priors."""

    @operation
    def train_prior(
        self,
        subject: Subject | str,
        *,
        base_model: ServedModel | str | None = None,
        preset: Preset | None = None,
        parameters: Mapping[str, Any] | None = None,
        regularization: Mapping[str, Any] | None = None,
        previews: int | None = None,
        snapshots: int | None = None,
        metadata: Mapping[str, str] | None = None,
        webhook_url: str | None = None,
        webhook_events: Sequence[str] | None = None,
        deadline_seconds: float | None = None,
        priority: int | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Job]:
        """Train a prior for the subject. Omitted parameters take the values of the base model's recipe.

        `base_model`: one of `models()`, or its name or fingerprint; by default the service's.
        `preset` trades time for likeness; parameters replace what it chooses.
        `deadline_seconds`: the job expires if no worker begins it in this time. `priority`: minutes by which it goes
        ahead of the project's other jobs.
        `previews`: how many preview images to generate at even intervals during the training. `snapshots`:
        how many adapters of earlier steps to keep, to `choose_snapshot` from. `webhook_events`: the
        types of event that `webhook_url` gets, by default those of the job's end; add "prior.started" for its start.
        """
        body = {
            "base_model": fingerprint_of(base_model),
            "preset": preset,
            "parameters": parameters,
            "regularization": regularization,
            "previews": previews,
            "snapshots": snapshots,
            "metadata": metadata,
            "webhook_url": webhook_url,
            "webhook_events": list(webhook_events) if webhook_events is not None else None,
            "deadline_seconds": deadline_seconds,
            "priority": priority,
        }
        path = path_of("subjects", subject, "priors")
        return create(path, Job.model_validate_json, body, idempotency_key=idempotency_key)

    dry_run_prior = train_prior.then(
        dry_run_of,
        """Check a request for a training, quotas and the operator's policy included, and estimate its time.

        Nothing is created. The parameters are those of `train_prior`. Raises Problem as `train_prior` would.
        """,
    )

    @operation
    def import_prior(
        self,
        subject: Subject | str,
        file: Path | str | bytes,
        *,
        base_model: ServedModel | str | None = None,
        metadata: Mapping[str, str] | None = None,
        webhook_url: str | None = None,
        webhook_events: Sequence[str] | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Job]:
        """Make a prior of the subject from a LoRA that another program trained: a safetensors file or its bytes.

        Prompts name the subject by its token, which must be the word that the LoRA was trained with. `base_model` is
        the one that it was trained on: one of `models()`, or its name or fingerprint; by default the service's.
        """
        content = file if isinstance(file, bytes) else Path(file).read_bytes()

        def put(response: bytes) -> Call[Job]:
            upload = Upload.model_validate_json(response)
            body = {
                "upload_id": upload.id,
                "base_model": fingerprint_of(base_model),
                "metadata": metadata,
                "webhook_url": webhook_url,
                "webhook_events": list(webhook_events) if webhook_events is not None else None,
            }
            path = path_of("subjects", subject, "priors", "import")
            finish = create(path, Job.model_validate_json, body, idempotency_key=idempotency_key)
            return Call("PUT", upload.url, lambda _: finish, {"content": content, "headers": upload.headers})

        return create(
            path_of("uploads"),
            put,
            {"content_type": "application/x-safetensors", "size": len(content)},
            idempotency_key=idempotency_key and f"{idempotency_key}.upload",
        )

    @operation
    def prior(self, prior: PriorSummary | str) -> Call[Prior]:
        """One prior. It has URLs of its files once it is ready."""
        return Call("GET", path_of("priors", prior), Prior.model_validate_json)

    @operation
    def choose_snapshot(self, prior: PriorSummary | str, snapshot: Snapshot | int) -> Call[Prior]:
        """Let edits use the prior as it was after a step of its training: a snapshot of the prior, or its step."""
        step = snapshot if isinstance(snapshot, int) else snapshot.step
        return Call("POST", path_of("priors", prior, "choose"), Prior.model_validate_json, {"json": {"step": step}})

    @operation
    def delete_prior(self, prior: PriorSummary | str) -> Call[None]:
        """Delete a prior and its files; a training of it stops. Finished edits that used it stay."""
        return Call("DELETE", path_of("priors", prior), no_content)

    @list_operation
    def priors(
        self,
        subject: Subject | str,
        *,
        status: Status | None = None,
        metadata: Mapping[str, str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> Listing[PriorSummary]:
        """The subject's priors, newest first. `status` and `metadata` filter by each prior's newest job."""
        query = filters(status=status, metadata=metadata, created_after=created_after, created_before=created_before)
        return Listing(path_of("subjects", subject, "priors"), PriorSummary, query)
