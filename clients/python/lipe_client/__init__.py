"""Typed Python client of the LIPE service: `Client`, and `AsyncClient` for asyncio."""

from lipe_client.async_client import AsyncClient
from lipe_client.models import (
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
    JobWarning,
    Kind,
    Method,
    OutputFormat,
    Prior,
    PriorSummary,
    Progress,
    Result,
    ServedModel,
    Status,
    Subject,
)
from lipe_client.problems import JobFailed, Problem
from lipe_client.sync_client import Client
from lipe_client.webhooks import verify_webhook

__all__ = [
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
    "JobWarning",
    "Kind",
    "Method",
    "OutputFormat",
    "Prior",
    "PriorSummary",
    "Problem",
    "Progress",
    "Result",
    "ServedModel",
    "Status",
    "Subject",
    "verify_webhook",
]
