"""Rotation of webhook secrets: the former secret signs beside the new one until it expires."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.database import now
from ledger.models import Project, WebhookEndpoint
from ledger.webhook_secrets import live, rotated


class FormerSecretValid(Exception):
    """The secret before the present one is still valid: a rotation would drop it early."""

    def __init__(self, expires_at: datetime | None) -> None:
        super().__init__(f"until {expires_at}")
        self.expires_at = expires_at


@dataclass(frozen=True)
class LiveSecrets:
    """The secrets that sign at present, newest first, and the time at which the former one expires."""

    secrets: list[str]
    former_expires_at: datetime | None


def of_endpoint(session: Session, endpoint: WebhookEndpoint) -> LiveSecrets:
    """The endpoint's live secrets."""
    return _live(endpoint.secrets, endpoint.former_expires_at, now(session))


def of_project(session: Session, project: Project) -> LiveSecrets:
    """The project's live secrets."""
    return _live(project.webhook_secrets, project.former_secret_expires_at, now(session))


def rotate_endpoint(session: Session, project_id: str, endpoint_id: str, keep: timedelta) -> LiveSecrets | None:
    """Give the endpoint a new secret; the present one signs for `keep` longer. None: not there.

    Raises FormerSecretValid.
    """
    mine = (WebhookEndpoint.project_id == project_id, WebhookEndpoint.id == endpoint_id)
    endpoint = session.scalars(select(WebhookEndpoint).where(*mine).with_for_update()).first()
    if endpoint is None:
        return None
    new = _rotate(of_endpoint(session, endpoint), keep, now(session))
    endpoint.secrets, endpoint.former_expires_at = new.secrets, new.former_expires_at
    session.flush()
    return new


def rotate_project(session: Session, project_id: str, keep: timedelta) -> LiveSecrets:
    """`rotate_endpoint` for the secret of the deliveries to a request's own `webhook_url`."""
    project = session.scalars(select(Project).where(Project.id == project_id).with_for_update(key_share=True)).one()
    new = _rotate(of_project(session, project), keep, now(session))
    project.webhook_secrets, project.former_secret_expires_at = new.secrets, new.former_expires_at
    session.flush()
    return new


def _live(secrets: list[str], expires_at: datetime | None, present: datetime) -> LiveSecrets:
    signing = live(secrets, expires_at, present)
    return LiveSecrets(signing, expires_at if len(signing) > 1 else None)


def _rotate(present: LiveSecrets, keep: timedelta, moment: datetime) -> LiveSecrets:
    if keep and len(present.secrets) > 1:
        raise FormerSecretValid(present.former_expires_at)
    return LiveSecrets(rotated(present.secrets, keep=bool(keep)), moment + keep if keep else None)
