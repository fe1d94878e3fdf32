"""Consent of a person who is a subject: the receipt in requests and answers, and when a request needs one."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import Field, field_validator
from sqlalchemy.orm import Session

from api.fields import Moment, Name, RequestModel, ResponseModel, Text
from api.problems import Problem
from ledger import consents
from ledger.categories import Category, category_of, is_known
from ledger.consents import EndReason, Receipt
from ledger.models import Consent, Image, Subject

STATEMENT = "set `not_a_person` to true if it shows no person"
RECEIPT = 'give `consent`, such as {"person": "Ada Lovelace", "purpose": "her book"}, if the person has agreed'


class NewConsent(RequestModel):
    """The receipt of a person's consent. LIPE keeps and shows it; whether it is true is for you to know."""

    person: Name
    """Who has agreed: a name, or your own reference to the person, such as a customer number. For a child, also who
    agreed for it."""

    purpose: Annotated[Text, Field(min_length=1, max_length=500)]
    """What the person has agreed to, in the words that the person was asked with."""

    until: Moment | None = None
    """Time at which the consent ends, with a time zone. Default: none, then it holds until it is revoked. Give it if
    the person agreed for a limited time."""

    evidence: Annotated[Text, Field(max_length=500)] | None = None
    """Where you keep the evidence: a document number or an address. LIPE never opens it. Default: none. Give it if
    someone may ask for the evidence."""

    @field_validator("until")
    @classmethod
    def _lies_ahead(cls, until: datetime | None) -> datetime | None:
        if until is not None and until <= datetime.now(UTC):
            raise ValueError("lies in the past: give the time at which the consent will end")
        return until

    def receipt(self) -> Receipt:
        """The receipt to keep."""
        return Receipt(self.person, self.purpose, self.evidence or None, self.until)


class ConsentBody(ResponseModel):
    """The newest receipt of consent of a subject that is a person."""

    id: str
    """Id of the receipt."""

    person: str
    """Who has agreed."""

    purpose: str
    """What the person has agreed to."""

    until: Moment | None
    """Time at which the consent ends by itself; null if it holds until it is revoked."""

    evidence: str | None
    """Where the evidence is kept; null if that was not stated."""

    state: Literal["valid", "revoked", "expired"]
    """Whether the consent holds. Without a valid one the subject cannot be trained or edited."""

    created_at: Moment
    """Time at which the receipt was recorded, in UTC."""

    ended_at: Moment | None
    """Time at which the consent was revoked or expired, in UTC; null if it holds."""

    @classmethod
    def of(cls, consent: Consent) -> "ConsentBody":
        """The body of a row."""
        columns = {name: getattr(consent, name) for name in cls.model_fields if name != "state"}
        return cls.model_validate(columns | {"state": _state(consent)})


def newest_consent(receipts: Sequence[Consent]) -> ConsentBody | None:
    """The body of the last of a subject's receipts, or None."""
    return ConsentBody.of(receipts[-1]) if receipts else None


def require_valid(session: Session, *subject_ids: str) -> None:
    """Raise Problem if the consent of one of the subjects has ended."""
    if consents.ended(session, subject_ids):
        raise consent_ended()


def consent_ended() -> Problem:
    """The refusal of a request that needs a person's consent, which has ended."""
    detail = "the consent of the person shown has ended: record a new receipt, POST /v1/subjects/{subject_id}/consent"
    return Problem("consent_ended", detail, param="subject_id")


def check_reference(subject: Subject, image: Image) -> None:
    """Raise Problem if the image shows a face and the subject has neither receipt nor statement."""
    if image.faces and not subject.consents and not subject.not_a_person:
        detail = "the image shows a human face: POST a receipt to /v1/subjects/{subject_id}/consent first"
        raise Problem("consent_required", detail, param="image_id")


def check_consent(
    class_noun: str,
    category: Category | None,
    references: Sequence[Image],
    *,
    consent: NewConsent | None,
    not_a_person: bool,
) -> None:
    """Raise Problem unless the request says what a subject that is, or may be, a person needs.

    A stated category may turn the subject into a person, and never a person into something else.
    """
    if consent is not None and not_a_person:
        raise Problem(
            "invalid_request", "`consent` is that of a person: give only one of the two", param="not_a_person"
        )
    if consent is not None or (not_a_person and category != "person"):
        return
    if not_a_person:
        detail = "`category` says that it is a person: remove one of the two"
        raise Problem("invalid_request", detail, param="not_a_person")
    reason = _person(class_noun, category) or _face(references)
    if reason is not None:
        raise Problem("consent_required", f"{reason}: {RECEIPT}, or {STATEMENT}", param="consent")


def _person(class_noun: str, category: Category | None) -> str | None:
    """Why the words say that the subject is a person, or leave it open; None if they name something else."""
    if category == "person" or category_of(class_noun) == "person":
        return "the subject is a person"
    return None if is_known(class_noun) else f"LIPE does not know whether {class_noun!r} is a person"


def _face(references: Sequence[Image]) -> str | None:
    for position, image in enumerate(references):
        if image.faces:
            return f"references[{position}] shows a human face"
    return None


def _state(consent: Consent) -> str:
    if consent.ended_at is not None:
        reason: EndReason = "expired" if consent.end_reason == "expired" else "revoked"
        return reason
    return "expired" if consent.until is not None and consent.until <= datetime.now(UTC) else "valid"
