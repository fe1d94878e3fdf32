"""A small typed client of the LIPE service."""

from client.client import Client
from client.models import Artefact, Endpoint, Image, Job, Method, Prior, Progress, Result, Subject
from client.problems import JobFailed, Problem
from client.webhooks import verify_webhook

__all__ = [
    "Artefact",
    "Client",
    "Endpoint",
    "Image",
    "Job",
    "JobFailed",
    "Method",
    "Prior",
    "Problem",
    "Progress",
    "Result",
    "Subject",
    "verify_webhook",
]
