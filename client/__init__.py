"""Typed Python client of the LIPE service: `Client`, and `AsyncClient` for asyncio."""

from client.async_client import AsyncClient
from client.models import (
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
    OutputFormat,
    Prior,
    PriorSummary,
    Progress,
    Result,
    ServedModel,
    Status,
    Subject,
)
from client.problems import JobFailed, Problem
from client.sync_client import Client
from client.webhooks import verify_webhook

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
