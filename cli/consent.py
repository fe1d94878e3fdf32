"""`lipe consent`: show, record and revoke the consent of a person who is a subject."""

from typing import Annotated

import typer
from rich.console import Console

from cli.consent_options import ConsentFor, ConsentOf, ConsentUntil, Evidence, receipt
from cli.service import ApiKey, Url, connect
from cli.settings_file import Data
from lipe_client import Subject

app = typer.Typer(no_args_is_help=True, help="Show, record and revoke the consent of a person who is a subject.")
SubjectId = Annotated[str, typer.Argument(help="The subject's id.")]


@app.command()
def show(subject: SubjectId, url: Url = None, api_key: ApiKey = "", data: Data = None) -> None:
    """Show the newest receipt of a subject."""
    with connect(url, api_key, Console(stderr=True), data) as lipe:
        _print(lipe.subject(subject))


@app.command()
def give(
    subject: SubjectId,
    consent_of: ConsentOf,
    consent_for: ConsentFor,
    consent_until: ConsentUntil = None,
    evidence: Evidence = "",
    url: Url = None,
    api_key: ApiKey = "",
    data: Data = None,
) -> None:
    """Record a receipt: the first one of the subject, or a new one after the last has ended."""
    consent = receipt(consent_of, consent_for, consent_until, evidence)
    if consent is None:
        raise typer.BadParameter("--consent-of and --consent-for must not be empty")
    with connect(url, api_key, Console(stderr=True), data) as lipe:
        _print(lipe.give_consent(subject, consent))


@app.command()
def revoke(subject: SubjectId, url: Url = None, api_key: ApiKey = "", data: Data = None) -> None:
    """Revoke the consent: jobs of the subject stop, and what the operator has set is erased."""
    with connect(url, api_key, Console(stderr=True), data) as lipe:
        _print(lipe.revoke_consent(subject))


def _print(subject: Subject) -> None:
    consent = subject.consent
    if consent is None:
        print("not a person, as stated" if subject.not_a_person else "no consent recorded")
        return
    end = consent.ended_at or consent.until
    times = f" {'since' if consent.ended_at else 'until'} {end:%Y-%m-%d %H:%M} UTC" if end else ""
    lines = {
        "state": f"{consent.state}{times}",
        "person": consent.person,
        "purpose": consent.purpose,
        "evidence": consent.evidence or "none stated",
        "recorded": f"{consent.created_at:%Y-%m-%d %H:%M} UTC",
    }
    for name, value in lines.items():
        print(f"{name:9} {value}")
