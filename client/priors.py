"""Priors: what is learnt of a subject."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from client.call import Call, Listing, at, create, filters
from client.models import Job, Prior, PriorSummary, Status, Subject
from client.operations import listing, verb


class Priors:
    """The calls on priors."""

    @verb
    def train_prior(
        self,
        subject: Subject | str,
        *,
        parameters: Mapping[str, Any] | None = None,
        regularization: Mapping[str, Any] | None = None,
        previews: int | None = None,
        metadata: Mapping[str, str] | None = None,
        webhook_url: str | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Job]:
        """Learn the subject. Settings that are left out are the base model's own.

        `previews`: how many pictures to paint on the way, spread evenly.
        """
        asked = {
            "parameters": parameters,
            "regularization": regularization,
            "previews": previews,
            "metadata": metadata,
            "webhook_url": webhook_url,
        }
        path = at("subjects", subject, "priors")
        return create(path, Job.model_validate_json, asked, idempotency_key=idempotency_key)

    @verb
    def prior(self, prior: PriorSummary | str) -> Call[Prior]:
        """One prior, with URLs of its files once it is ready."""
        return Call("GET", at("priors", prior), Prior.model_validate_json)

    @listing
    def priors(
        self,
        subject: Subject | str,
        *,
        status: Status | None = None,
        metadata: Mapping[str, str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> Listing[PriorSummary]:
        """The subject's priors, newest first; `status` and `metadata` are those of their newest jobs."""
        query = filters(status=status, metadata=metadata, created_after=created_after, created_before=created_before)
        return Listing(at("subjects", subject, "priors"), PriorSummary, query)
