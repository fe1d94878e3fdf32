"""Every table of the service. The queries are one module for each resource, such as `ledger.images`.

The migrations make the schema; tests/ledger/test_migrations.py compares it with these classes.
"""

from ledger.models.base import Row, new_id
from ledger.models.decisions import Decision
from ledger.models.jobs import (
    Artefact,
    Delivery,
    Event,
    IdempotentRequest,
    Job,
    Lease,
    OutboxEntry,
    WebhookEndpoint,
)
from ledger.models.known_periods import KnownPeriod
from ledger.models.resources import (
    ApiKey,
    Consent,
    Edit,
    Erasure,
    Image,
    KindUsage,
    Prior,
    Project,
    Reference,
    Share,
    Subject,
    Upload,
    Usage,
)
from ledger.models.studies import Study, StudyAnswer, StudyImage, StudyItem, StudyRater
from ledger.models.workers import KnownModel, Worker

METADATA = Row.metadata

__all__ = [
    "METADATA",
    "ApiKey",
    "Artefact",
    "Consent",
    "Decision",
    "Delivery",
    "Edit",
    "Erasure",
    "Event",
    "IdempotentRequest",
    "Image",
    "Job",
    "KindUsage",
    "KnownModel",
    "KnownPeriod",
    "Lease",
    "OutboxEntry",
    "Prior",
    "Project",
    "Reference",
    "Row",
    "Share",
    "Study",
    "StudyAnswer",
    "StudyImage",
    "StudyItem",
    "StudyRater",
    "Subject",
    "Upload",
    "Usage",
    "WebhookEndpoint",
    "Worker",
    "new_id",
]
