"""Invariant 10: the log of decisions is complete and unchanged."""

from collections.abc import Iterator

from sqlalchemy.orm import Session

from ledger import decisions
from ledger.audit.violation import Bounds, Violation


def violations(session: Session, bounds: Bounds) -> Iterator[Violation]:
    """Decisions that do not continue the chain of their project, or whose hash does not fit their content."""
    for identifier, fault in decisions.breaks(decisions.export(session)):
        yield Violation(10, f"decision {identifier}", fault)
