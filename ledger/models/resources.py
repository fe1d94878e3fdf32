"""The tables of projects and what they own: keys, images, subjects, priors, edits, and the traces of deleted ones."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import Double, ForeignKey, Index, false, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ledger.models.base import Id, ListedProjectId, Moment, ProjectId, Row, list_index, metadata_index


class Project(Row):
    """One tenant. `webhook_secrets` (newest first) sign the deliveries to a request's own `webhook_url`.

    A project of twice the `weight` gets twice the GPU time while both have jobs to do. The quotas that are None are
    those of the settings. `result_kind` is that of edits that do not say it: "archival" or "published". So is
    `visible_label`: whether published results get one. From `former_secret_expires_at` on, only the newest secret
    signs.
    """

    __tablename__ = "projects"

    id: Mapped[Id]
    name: Mapped[str]
    webhook_secrets: Mapped[list[str]]
    result_kind: Mapped[str] = mapped_column(server_default=text("'archival'"))
    visible_label: Mapped[bool] = mapped_column(server_default=false())
    former_secret_expires_at: Mapped[datetime | None]
    weight: Mapped[float] = mapped_column(Double, server_default=text("1"))
    max_running_jobs: Mapped[int | None]
    max_queued_jobs: Mapped[int | None]
    max_gpu_seconds_per_day: Mapped[int | None]
    created_at: Mapped[Moment]


class ApiKey(Row):
    """One API key. A project may have two live keys, so that it can rotate them without a gap.

    `scopes` are all scopes of `ledger.keys` that it has. `last_used_at` is exact to the minute.
    """

    __tablename__ = "keys"

    id: Mapped[Id]
    project_id: Mapped[ProjectId]
    name: Mapped[str]
    digest: Mapped[bytes]
    scopes: Mapped[list[str]]
    created_at: Mapped[Moment]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class Upload(Row):
    """A file that a user sends by a signed URL: `size` in bytes.

    The URL is valid until `expires_at`. The file became an image at `used_at`.

    With a `source_url`, a worker fetches the file (`ledger/fetches.py`): `size` is 0 until it is stored, and `failure`
    and `failure_detail` say why it cannot be fetched.
    """

    __tablename__ = "uploads"

    id: Mapped[Id]
    project_id: Mapped[ProjectId]
    content_type: Mapped[str]
    size: Mapped[int]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]
    source_url: Mapped[str | None]
    failure: Mapped[str | None]
    failure_detail: Mapped[str | None]
    created_at: Mapped[Moment]


class Image(Row):
    """One image: `width` and `height` in pixels; key, size in bytes and SHA-256 of its object.

    `upload_id` names the upload that the image came from. That row may be deleted already. `credentials` has the
    uploaded file's own Content Credentials, apart from the pixels; only `ledger.images.credentials` reads it. `faces`
    is the number of faces that the detector found; None if it did not look.
    """

    __tablename__ = "images"
    __table_args__ = (list_index("images"), Index("ix_images_created_at", "created_at"))

    id: Mapped[Id]
    project_id: Mapped[ListedProjectId]
    key: Mapped[str]
    size: Mapped[int]
    sha256: Mapped[str]
    content_type: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    upload_id: Mapped[str | None]
    faces: Mapped[int | None]
    credentials: Mapped[bytes | None] = mapped_column(deferred=True)
    created_at: Mapped[Moment]


class Reference(Row):
    """One reference image of a subject, with the user's caption if there is one."""

    __tablename__ = "subject_references"

    subject_id: Mapped[str] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    image_id: Mapped[str] = mapped_column(ForeignKey("images.id"), index=True)
    caption: Mapped[str | None]
    image: Mapped[Image] = relationship(lazy="joined")


class Subject(Row):
    """A subject. Prompts name it by `token`, a rare word, and `class_noun`, such as "sks dog".

    `not_a_person` is a statement of the request that created it. `consents` are a person's receipts, oldest first.
    """

    __tablename__ = "subjects"
    __table_args__ = (list_index("subjects"), metadata_index("subjects"))

    id: Mapped[Id]
    project_id: Mapped[ListedProjectId]
    name: Mapped[str]
    class_noun: Mapped[str]
    token: Mapped[str]
    category: Mapped[str]  # a `categories.Category`
    not_a_person: Mapped[bool] = mapped_column(server_default=text("false"))
    user_metadata: Mapped[dict[str, str]] = mapped_column("metadata")
    created_at: Mapped[Moment]
    references: Mapped[list[Reference]] = relationship(order_by=Reference.position, lazy="selectin")
    consents: Mapped[list["Consent"]] = relationship(order_by="Consent.created_at", lazy="selectin")


class Consent(Row):
    """The receipt of a person's consent to be a subject: who agreed, to what, and where the evidence is kept.

    It ended at `ended_at`, as it was revoked or as `until` had passed. At `settled_at` the subject's jobs had stopped,
    and the erasure that the operator wants was done.
    """

    __tablename__ = "consents"
    __table_args__ = (
        Index("uq_consents_live", "subject_id", unique=True, postgresql_where=text("ended_at IS NULL")),
        Index("ix_consents_until", "until", postgresql_where=text("ended_at IS NULL")),
        Index("ix_consents_unsettled", "ended_at", postgresql_where=text("settled_at IS NULL")),
    )

    id: Mapped[Id]
    project_id: Mapped[ProjectId]
    subject_id: Mapped[str] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"), index=True)
    person: Mapped[str]
    purpose: Mapped[str]
    evidence: Mapped[str | None]
    until: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    end_reason: Mapped[str | None]  # a `consents.EndReason`
    settled_at: Mapped[datetime | None]
    created_at: Mapped[Moment]


class Prior(Row):
    """The learned artefact of a subject.

    `manifest` (with the base model's fingerprint) and `adapter_sha256` are set once the prior is ready, and
    `reference_ids`, the images it was trained on. These may be deleted since.
    """

    __tablename__ = "priors"
    __table_args__ = (Index("ix_priors_unready", "created_at", postgresql_where=text("ready_at IS NULL")),)

    id: Mapped[Id]
    project_id: Mapped[ProjectId]
    subject_id: Mapped[str] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"), index=True)
    manifest: Mapped[dict[str, Any] | None]
    adapter_key: Mapped[str | None]
    adapter_sha256: Mapped[str | None]
    reference_ids: Mapped[list[str]] = mapped_column(server_default=text("'[]'"))
    ready_at: Mapped[datetime | None]
    created_at: Mapped[Moment]


class Edit(Row):
    """A requested edit. `mask_image_id` is the user's own mask (white may change), if there is one.

    `prior_id` is None if the edit uses the base model alone, or if its prior was deleted at `prior_deleted_at`. With a
    `mix_weight`, the prior `mix_prior_id` of the subject `mix_subject_id` is mixed in. It is deleted in the same way.
    """

    __tablename__ = "edits"
    __table_args__ = (list_index("edits"), Index("ix_edits_created_at", "created_at"))

    id: Mapped[Id]
    project_id: Mapped[ListedProjectId]
    subject_id: Mapped[str] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"), index=True)
    prior_id: Mapped[str | None] = mapped_column(ForeignKey("priors.id"), index=True)
    prior_deleted_at: Mapped[datetime | None]
    mix_prior_id: Mapped[str | None] = mapped_column(ForeignKey("priors.id"), index=True)
    mix_subject_id: Mapped[str | None] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"), index=True)
    mix_weight: Mapped[float | None] = mapped_column(Double)
    image_id: Mapped[str] = mapped_column(ForeignKey("images.id"), index=True)
    mask_image_id: Mapped[str | None] = mapped_column(ForeignKey("images.id"), index=True)
    method: Mapped[str]
    source_prompt: Mapped[str | None]
    target_prompts: Mapped[list[str]]
    created_at: Mapped[Moment]


class Erasure(Row):
    """The record of an erasure: the ids of the deleted rows, and the prefixes of their objects.

    The ids are those of subjects, priors, edits, jobs, images, uploads and studies. Each prefix ends with a slash.
    """

    __tablename__ = "erasures"

    id: Mapped[Id]
    project_id: Mapped[ProjectId]
    erased: Mapped[list[str]]
    prefixes: Mapped[list[str]]
    finished_at: Mapped[datetime | None] = mapped_column(index=True)
    created_at: Mapped[Moment]


class Share(Row):
    """The GPU seconds of one project, halved for each half-life that has passed since: as of `counted_at`."""

    __tablename__ = "shares"

    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    seconds: Mapped[float] = mapped_column(Double)
    counted_at: Mapped[datetime]


class KindUsage(Row):
    """The ended attempts and the GPU seconds of one project, day (UTC) and kind of job."""

    __tablename__ = "usage_by_kind"

    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    attempts: Mapped[int]
    gpu_seconds: Mapped[float] = mapped_column(Double)


class Usage(Row):
    """The GPU seconds of one project on one day (UTC), of all kinds: what the quota counts."""

    __tablename__ = "usage"

    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    gpu_seconds: Mapped[float] = mapped_column(Double)
