"""Other people in the image of an edit: more faces than the subject has of its own.

The detector misses many faces and recognizes no person, so by default it only warns. The operator may require that the
request states their consent. A statement is kept in the decision log.
"""

from typing import Final

from sqlalchemy.orm import Session

from api.problems import Problem
from ledger import decisions, job_warnings, subjects
from ledger.decisions import NewDecision
from ledger.job_warnings import JobWarning
from ledger.models import Job
from ledger.settings import Settings

CODE: Final = "other_people"
ADVICE = 'set `other_people` to "consented" if they have agreed, or send an image without them'


def others_shown(session: Session, subject_id: str, faces: int | None) -> str | None:
    """The sentence that says that the image seems to show others than the subject, or None.

    `faces` is the number that was found in the image. None: the service did not look.
    """
    if not faces:
        return None
    own = subjects.own_faces(session, subject_id)
    if faces <= own:
        return None
    shown = "a human face" if faces == 1 else f"{faces} human faces"
    return f"the image shows {shown}, and the subject has {'one' if own == 1 else own or 'none'}"


def require_statement(settings: Settings, shown: str | None, has_statement: bool) -> None:
    """Raise Problem if the operator wants a statement about the people shown, and the request has none."""
    if shown and not has_statement and settings.other_people == "consent":
        raise Problem("consent_required", f"{shown}: {ADVICE}", param=CODE)


def note_others(session: Session, job: Job, shown: str | None, has_statement: bool, actor: str) -> None:
    """Add the warning to the new job, or log the statement that the people shown have agreed."""
    if not shown:
        return
    if has_statement:
        ids = [one for one in (job.subject_id, job.edit_id) if one]
        decisions.record(session, job.project_id, NewDecision("consent", "given", actor, ids, reason=CODE))
        return
    job_warnings.add(session, job, [JobWarning(CODE, f"{shown}; {ADVICE}")])
