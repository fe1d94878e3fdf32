"""The options that state whether a new subject is a person, and what that person has agreed to."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from lipe_client import NewConsent

ConsentOf = Annotated[str, typer.Option("--consent-of", help="Who is shown and has agreed: a name, or your number.")]
ConsentFor = Annotated[str, typer.Option("--consent-for", help="What the person has agreed to, in words.")]
ConsentUntil = Annotated[
    datetime | None,
    typer.Option(
        "--consent-until",
        formats=["%Y-%m-%d"],
        help="The day (UTC) when it ends. Default: when it is revoked.",
    ),
]
Evidence = Annotated[str, typer.Option("--evidence", help="Where the evidence of the consent is kept.")]
NotAPerson = Annotated[
    bool, typer.Option("--not-a-person", help="State that the subject is no person, though it may look like one.")
]


def receipt(person: str, purpose: str, until: datetime | None, evidence: str) -> NewConsent | None:
    """The receipt, or None if none of the options was given. Raises typer.BadParameter."""
    if not (person or purpose or until or evidence):
        return None
    if not (person and purpose):
        raise typer.BadParameter("a receipt of consent needs both --consent-of and --consent-for")
    return NewConsent(person, purpose, until.replace(tzinfo=UTC) if until else None, evidence or None)
