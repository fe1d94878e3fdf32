"""Every table, so that the metadata is whole: foreign keys name tables, not modules."""

from ledger import (
    artefacts,
    edits,
    erasures,
    events,
    idempotency,
    images,
    jobs,
    keys,
    outbox,
    priors,
    projects,
    subjects,
    uploads,
    usage,
    webhooks,
)
from ledger.database import Row

TABLES = (
    projects.Project,
    keys.Key,
    images.Image,
    uploads.Upload,
    subjects.Subject,
    subjects.Reference,
    priors.Prior,
    edits.Edit,
    jobs.Job,
    events.Event,
    artefacts.Artefact,
    outbox.Entry,
    webhooks.Endpoint,
    webhooks.Delivery,
    idempotency.Request,
    erasures.Erasure,
    usage.Usage,
)
METADATA = Row.metadata
