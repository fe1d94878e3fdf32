"""Operations on edits: request one, read its results, delete it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from lipe_client.call import Call, Listing, create, filters, fingerprint_of, id_of, no_content, path_of
from lipe_client.dry_runs import dry_run_of
from lipe_client.models import (
    Change,
    Edit,
    EditSummary,
    Identity,
    Image,
    Job,
    Method,
    OutputFormat,
    Preset,
    PriorSummary,
    Result,
    ResultKind,
    ServedModel,
    Status,
    Subject,
)
from lipe_client.operations import list_operation, operation


class Edits:
    """The operations on edits."""

    @operation
    def edit(
        self,
        *,
        image: Image | str,
        prompt: str | None = None,
        prompts: Sequence[str] | None = None,
        action: str | None = None,
        subject: Subject | str | None = None,
        prior: PriorSummary | str | None = None,
        mix: PriorSummary | str | None = None,
        mix_weight: float | None = None,
        source_prompt: str | None = None,
        negative_prompt: str | None = None,
        method: Method | None = None,
        use_prior: bool | None = None,
        base_model: ServedModel | str | None = None,
        preset: Preset | None = None,
        identity: Identity | None = None,
        change: Change | None = None,
        parameters: Mapping[str, Any] | None = None,
        seed: int | None = None,
        seeds: Sequence[int] | None = None,
        n: int | None = None,
        mask: Image | str | None = None,
        output_format: OutputFormat | None = None,
        output_quality: int | None = None,
        include: Sequence[Literal["uncomposited"]] | None = None,
        result_kind: ResultKind | None = None,
        visible_label: bool | None = None,
        other_people: Literal["consented"] | None = None,
        credentials_prompt: bool | None = None,
        metadata: Mapping[str, str] | None = None,
        webhook_url: str | None = None,
        webhook_events: Sequence[str] | None = None,
        deadline_seconds: float | None = None,
        priority: int | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Job]:
        """Edit an image once for each prompt and seed.

        The edit uses the given prior, or the subject's newest one. With `use_prior=False` it uses the base model
        alone; `subject` then says how the prompts name the subject. `preset` trades time for quality; `identity` and
        `change` are controls of the method `nima`. Parameters replace what these three choose.
        `base_model` is one of `models()`, or its name or fingerprint: the edit uses the newest prior of it.

        Instead of a prompt, an `action` such as "jumping over a fence" keeps the scene: the service makes the target
        prompt from its description of the source, or from `source_prompt`.

        `mix` is a second prior, such as a style. `mix_weight` is the factor of its change, above 0 to 2, by default 1.

        The images are PNG by default. `output_quality` is that of "jpeg", or makes "webp" lossy: such images differ
        slightly from the source outside the mask, too. With "uncomposited" in `include`, each result also has the image
        before the source's background was restored.

        "published" results carry an invisible watermark inside the mask, and "archival" ones do not. The project has a
        default. A `visible_label` "AI-edited" is added to published results alone, in a corner. With
        `credentials_prompt`, the Content Credentials of the images state the prompt; by default they do
        not.

        `other_people="consented"` states that the other people in the image have agreed.
        `deadline_seconds`: the job expires if no worker begins it in this time. `priority`: minutes by which it goes
        ahead of the project's other jobs.
        `webhook_events`: the types of event that `webhook_url` gets, by default those of the job's end. Add
        "edit.output" for each result as soon as it is stored, or "edit.started".
        """
        body = {
            "subject_id": id_of(subject) if subject is not None else None,
            "prior_id": id_of(prior) if prior is not None else None,
            "mix": _mix(mix, mix_weight),
            "image_id": id_of(image),
            "mask_image_id": id_of(mask) if mask is not None else None,
            "prompt": prompt,
            "prompts": list(prompts) if prompts is not None else None,
            "action": action,
            "source_prompt": source_prompt,
            "negative_prompt": negative_prompt,
            "method": method,
            "use_prior": use_prior,
            "base_model": fingerprint_of(base_model),
            "preset": preset,
            "identity": identity,
            "change": change,
            "parameters": parameters,
            "seed": seed,
            "seeds": list(seeds) if seeds is not None else None,
            "n": n,
            "output_format": output_format,
            "output_quality": output_quality,
            "include": list(include) if include is not None else None,
            "result_kind": result_kind,
            "visible_label": visible_label,
            "other_people": other_people,
            "credentials_prompt": credentials_prompt,
            "metadata": metadata,
            "webhook_url": webhook_url,
            "webhook_events": list(webhook_events) if webhook_events is not None else None,
            "deadline_seconds": deadline_seconds,
            "priority": priority,
        }
        return create(path_of("edits"), Job.model_validate_json, body, idempotency_key=idempotency_key)

    dry_run_edit = edit.then(
        dry_run_of,
        """Check a request for an edit, quotas and the operator's policy included, and estimate its time.

        Nothing is created. The parameters are those of `edit`. Raises Problem as `edit` would.
        """,
    )

    @operation
    def get_edit(self, edit: EditSummary | Job | str) -> Call[Edit]:
        """One edit, by its id or its job. While its job runs, it has the results that are stored so far."""
        return Call("GET", path_of("edits", _edit_id(edit)), Edit.model_validate_json)

    @operation
    def results(self, edit: EditSummary | Job | str) -> Call[tuple[Result, ...]]:
        """The results of an edit, in the order of its prompts and, for each prompt, of its seeds.

        While its job runs, those that it has stored so far.
        """
        return Call("GET", path_of("edits", _edit_id(edit)), lambda content: Edit.model_validate_json(content).results)

    @operation
    def delete_edit(self, edit: EditSummary | Job | str) -> Call[None]:
        """Delete an edit, its jobs and its results. A queued job never starts, and a running one stops."""
        return Call("DELETE", path_of("edits", _edit_id(edit)), no_content)

    @list_operation
    def edits(
        self,
        *,
        status: Status | None = None,
        metadata: Mapping[str, str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> Listing[EditSummary]:
        """All edits, newest first. `status` and `metadata` filter by each edit's newest job."""
        query = filters(status=status, metadata=metadata, created_after=created_after, created_before=created_before)
        return Listing(path_of("edits"), EditSummary, query)


def _mix(prior: PriorSummary | str | None, weight: float | None) -> dict[str, Any] | None:
    if prior is None:
        if weight is not None:
            raise ValueError("mix_weight needs mix, the prior to mix in")
        return None
    return {"prior_id": id_of(prior), **({"weight": weight} if weight is not None else {})}


def _edit_id(edit: EditSummary | Job | str) -> str:
    if isinstance(edit, Job):
        if edit.edit_id is None:
            raise ValueError(f"{edit.id} is a job of the kind {edit.kind} and has no edit")
        return edit.edit_id
    return id_of(edit)
