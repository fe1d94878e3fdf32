"""The tables of jobs and what follows from them: events, artefacts, messages, webhooks, stored answers."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ledger.models.base import Id, ListedProjectId, Moment, ProjectId, Row, list_index, metadata_index
from ledger.states import State


class Job(Row):
    """A training, an edit, captions or a mask to make. `parameters` were requested, and an attempt ran with `resolved`.

    `epoch` fences writes. `attempt` counts the charged claims; the newest was at `claimed_at`. `sequence` is the number
    of the newest event; it, `progress` and `progress_sequence` are as of the last attempt's end, and those of the
    running one are in its lease. `rank_at` is the place in the queue (`ledger.claims`), None for jobs that had ended
    before there were ranks. `base_model` is the fingerprint of the one that the job needs; None: any.
    `partial` has the results that an unfinished edit has stored (`partial_results`), `warnings` those of
    `job_warnings`. The job expires at `expires_at` if no attempt has begun.
    `image_id` is the image in which a mask is to be found; None for the other kinds.
    `traceparent` is the span of the request (`ledger.tracing`), None without tracing.
    `webhook_events` are the types of event that `webhook_url` gets; empty: the job's end.
    The release before this one reads `notified_at` and writes `lease_until`; a later one drops them.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        list_index("jobs"),
        metadata_index("jobs"),
        Index("ix_jobs_queued", "created_at", postgresql_where=text("state = 'queued'")),
        Index("ix_jobs_waiting", "project_id", "kind", "rank_at", "id", postgresql_where=text("state = 'queued'")),
        Index("ix_jobs_expiries", "expires_at", postgresql_where=text("state = 'queued'")),
        Index("ix_jobs_running", "project_id", postgresql_where=text("state = 'running'")),
        Index("ix_jobs_project_id_state_created_at", "project_id", "state", "created_at", "id"),
        Index("ix_jobs_prior_id_created_at", "prior_id", "created_at", postgresql_where=text("kind = 'prior'")),
        Index("ix_jobs_trainings", "project_id", "created_at", "id", postgresql_where=text("kind = 'prior'")),
    )

    id: Mapped[Id]
    project_id: Mapped[ListedProjectId]
    kind: Mapped[str]  # a `states.JobKind`
    subject_id: Mapped[str] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"), index=True)
    prior_id: Mapped[str | None] = mapped_column(ForeignKey("priors.id", ondelete="CASCADE"), index=True)
    edit_id: Mapped[str | None] = mapped_column(ForeignKey("edits.id", ondelete="CASCADE"), index=True)
    image_id: Mapped[str | None] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"), index=True)
    state: Mapped[str]
    parameters: Mapped[dict[str, Any]]
    resolved: Mapped[dict[str, Any]]
    user_metadata: Mapped[dict[str, str]] = mapped_column("metadata")
    webhook_url: Mapped[str | None]
    webhook_events: Mapped[list[str]] = mapped_column(server_default=text("'[]'"))
    request_id: Mapped[str | None]
    traceparent: Mapped[str | None]
    idempotency_key: Mapped[str | None]
    epoch: Mapped[int]
    attempt: Mapped[int]
    sequence: Mapped[int]
    worker: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    claimed_at: Mapped[datetime | None]
    notified_at: Mapped[Moment]
    priority: Mapped[int] = mapped_column(server_default=text("0"))
    rank_at: Mapped[datetime | None] = mapped_column(server_default=func.clock_timestamp())
    base_model: Mapped[str | None]
    cancel_requested_at: Mapped[datetime | None]
    progress: Mapped[dict[str, Any]]
    progress_sequence: Mapped[int]
    partial: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    warnings: Mapped[list[dict[str, str]]] = mapped_column(server_default=text("'[]'"))
    metrics: Mapped[dict[str, Any]]
    error_code: Mapped[str | None]
    error_detail: Mapped[str | None]
    queued_at: Mapped[Moment]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    created_at: Mapped[Moment]

    lease: Mapped["Lease | None"] = relationship(lazy="joined", viewonly=True)

    @property
    def status(self) -> State:
        """The state, typed."""
        return State(self.state)

    @property
    def newest_number(self) -> int:
        """The number of the newest event or report of progress."""
        return max(self.sequence, self.lease.sequence) if self.lease else self.sequence

    @property
    def latest_progress(self) -> tuple[int, dict[str, Any]]:
        """The newest report of progress with its number: that of the running attempt, or else of the one before."""
        lease = self.lease
        return (
            (lease.progress_sequence, lease.progress)
            if lease and lease.progress
            else (self.progress_sequence, self.progress)
        )

    @property
    def result_path(self) -> str:
        """The path of the job's result in the API."""
        if self.kind in ("captions", "mask"):
            return f"/v1/{'masks' if self.kind == 'mask' else 'captions'}/{self.id}"
        return f"/v1/edits/{self.edit_id}" if self.kind == "edit" else f"/v1/priors/{self.prior_id}"


class Lease(Row):
    """The lease of a running job (`ledger.leases`). No index may have a column that a renewal changes."""

    __tablename__ = "leases"
    __table_args__ = {"postgresql_with": {"fillfactor": 50}}  # noqa: RUF012 - room on the page for the next version

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    epoch: Mapped[int]
    until: Mapped[datetime]
    sequence: Mapped[int]
    progress: Mapped[dict[str, Any]]
    progress_sequence: Mapped[int]


class Event(Row):
    """A change of a job's state. The partial unique index guarantees at most one terminal event for each job."""

    __tablename__ = "events"
    __table_args__ = (
        UniqueConstraint("job_id", "sequence"),
        Index("uq_events_job_id_terminal", "job_id", unique=True, postgresql_where=text("terminal")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    project_id: Mapped[ProjectId]
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    sequence: Mapped[int]
    type: Mapped[str]
    data: Mapped[dict[str, Any]]
    terminal: Mapped[bool]
    created_at: Mapped[Moment]


class Artefact(Row):
    """One object of a succeeded job; `position` is its place in the job's list."""

    __tablename__ = "artefacts"

    id: Mapped[Id]
    project_id: Mapped[ProjectId]
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    position: Mapped[int]
    role: Mapped[str]
    name: Mapped[str]
    content_type: Mapped[str]
    key: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    details: Mapped[dict[str, Any]]
    created_at: Mapped[Moment]


class OutboxEntry(Row):
    """A message to publish: `topic` is the task's name, `identifier` the id of the job or delivery."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    topic: Mapped[str]
    identifier: Mapped[str] = mapped_column(index=True)
    created_at: Mapped[Moment]


class WebhookEndpoint(Row):
    """A URL that receives events. `events` empty: the ends of all jobs. `secrets` (newest first) all sign.

    From `former_expires_at` on, only the newest secret signs.

    `changed_at` is the time from which its present subscription holds.
    """

    __tablename__ = "webhook_endpoints"

    id: Mapped[Id]
    project_id: Mapped[ProjectId]
    url: Mapped[str]
    events: Mapped[list[str]]
    secrets: Mapped[list[str]]
    former_expires_at: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]
    changed_at: Mapped[Moment]
    created_at: Mapped[Moment]


class Delivery(Row):
    """One event to send to one URL. `endpoint_id` is None if the URL came with the request.

    `message_id` and `body` are the same in every attempt. `notified_at` is the time of the newest message to the
    workers about it.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        list_index("webhook_deliveries"),
        Index("ix_webhook_deliveries_due", "next_attempt_at", postgresql_where=text("state = 'pending'")),
    )

    id: Mapped[Id]
    project_id: Mapped[ListedProjectId]
    endpoint_id: Mapped[str | None] = mapped_column(ForeignKey("webhook_endpoints.id", ondelete="CASCADE"), index=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    message_id: Mapped[str]
    event_type: Mapped[str]
    url: Mapped[str]
    body: Mapped[bytes]
    state: Mapped[str]  # a `states.DeliveryState`
    attempts: Mapped[int]
    next_attempt_at: Mapped[datetime]
    notified_at: Mapped[datetime]
    last_status: Mapped[int | None]
    last_error: Mapped[str | None]
    traceparent: Mapped[str | None]
    delivered_at: Mapped[datetime | None]
    created_at: Mapped[Moment]


class IdempotentRequest(Row):
    """An answered request with an idempotency key. `fingerprint` is the SHA-256 of method, path and body."""

    __tablename__ = "idempotent_requests"
    __table_args__ = (Index("ix_idempotent_requests_reported", text("(body ->> 'id')")),)

    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes]
    status: Mapped[int]
    body: Mapped[dict[str, Any]]
    headers: Mapped[dict[str, str]]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    created_at: Mapped[Moment]
