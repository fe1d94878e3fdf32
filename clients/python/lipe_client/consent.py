"""Consent of a person who is a subject: the receipt to send, and the one that the service keeps."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from lipe_client.model import Model


@dataclass(frozen=True)
class NewConsent:
    """A receipt: who has agreed, and to what.

    `until` needs a time zone; with None the consent holds until it is revoked. `evidence` says where you keep the
    evidence, and the service never opens it.
    """

    person: str
    purpose: str
    until: datetime | None = None
    evidence: str | None = None

    def body(self) -> dict[str, Any]:
        """The receipt as JSON."""
        until = self.until.isoformat() if self.until else None
        return {"person": self.person, "purpose": self.purpose, "until": until, "evidence": self.evidence}


class Consent(Model):
    """The newest receipt of a subject. Without a valid one a person cannot be trained or edited."""

    id: str
    person: str
    purpose: str
    until: datetime | None
    evidence: str | None
    state: Literal["valid", "revoked", "expired"] | str
    created_at: datetime
    ended_at: datetime | None
