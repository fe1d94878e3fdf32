"""Typed Python client of the LIPE service: `Client`, and `AsyncClient` for asyncio."""

from lipe_client.async_client import AsyncClient
from lipe_client.models import (
    ApiKey,
    Artefact,
    Category,
    Delivery,
    Edit,
    EditSummary,
    Endpoint,
    Image,
    Job,
    JobProgress,
    JobWaiting,
    Kind,
    Method,
    NewApiKey,
    OutputFormat,
    Prior,
    PriorSummary,
    Progress,
    Result,
    Scope,
    ServedModel,
    Status,
    Subject,
)
from lipe_client.problems import JobFailed, Problem
from lipe_client.sync_client import Client
from lipe_client.version import VERSION as __version__
from lipe_client.webhooks import verify_webhook

__all__ = [
    "ApiKey",
    "Artefact",
    "AsyncClient",
    "Category",
    "Client",
    "Delivery",
    "Edit",
    "EditSummary",
    "Endpoint",
    "Image",
    "Job",
    "JobFailed",
    "JobProgress",
    "JobWaiting",
    "Kind",
    "Method",
    "NewApiKey",
    "OutputFormat",
    "Prior",
    "PriorSummary",
    "Problem",
    "Progress",
    "Result",
    "Scope",
    "ServedModel",
    "Status",
    "Subject",
    "__version__",
    "verify_webhook",
]
