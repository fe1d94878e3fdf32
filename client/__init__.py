"""A small typed client of the LIPE service."""

from client.client import Client
from client.models import Artefact, Image, Job, Progress, Subject
from client.problems import JobFailed, Problem
from client.webhooks import verify_webhook

__all__ = [
    "Artefact",
    "Client",
    "Image",
    "Job",
    "JobFailed",
    "Problem",
    "Progress",
    "Subject",
    "verify_webhook",
]
