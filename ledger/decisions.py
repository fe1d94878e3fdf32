"""The decision log: who decided what about which resource, append-only, one chain of hashes for each project.

The hash of a decision covers its content and the hash of the decision before it. A changed, deleted or inserted row
breaks the chain, which `lipe audit` finds. The last rows can be cut off without a break: keep an export elsewhere.

A decision has ids, SHA-256 digests of prompts, and codes. It has no image, no name and no prompt, so that the erasure
of a subject leaves the log as it is.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC
from typing import Any, Literal, get_args

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ledger.database import now
from ledger.models import Decision, new_id
from ledger.pages import Page, Window, newest

Kind = Literal["prompt", "references", "captions", "import", "result", "consent"]
"""The subject of a decision. The operator's policy decides on all but the last."""
Outcome = Literal["allowed", "refused", "failed_open", "failed_closed", "given", "changed", "revoked", "expired"]
"""`failed_open` and `failed_closed`: the policy did not answer, and the setting decided. The last four: consent."""
KINDS: tuple[Kind, ...] = get_args(Kind)
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
START = "0" * 64
"""The `previous` of a project's first decision."""
HASHED = (
    "project_id", "number", "id", "created_at", "kind", "outcome", "reason", "policy", "actor", "ids", "digests",
)  # fmt: skip
"""The fields that the hash covers, apart from `previous`."""
CODE = re.compile(r"[a-z0-9][a-z0-9_.:/-]{0,63}")
IDENTIFIER = re.compile(r"\w{1,40}")
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class NewDecision:
    """A decision to record.

    `actor`: who caused it, such as "key:968621ff26b113c3", "worker" or "operator". `ids`: the resources that it is
    about. `reason`: a code. `policy`: the name of the policy that decided. `digests`: `digest` of each prompt.
    Raises ValueError for anything that could be free text: the log must not hold personal data.
    """

    kind: Kind
    outcome: Outcome
    actor: str
    ids: Sequence[str]
    reason: str | None = None
    policy: str | None = None
    digests: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in ("actor", "reason", "policy"):
            value = getattr(self, name)
            if value is not None and not CODE.fullmatch(value):
                raise ValueError(f"{name} must match {CODE.pattern}: the decision log has codes and no text")
        if not all(IDENTIFIER.fullmatch(one) for one in self.ids):
            raise ValueError(f"each of ids must match {IDENTIFIER.pattern}")
        if not all(DIGEST.fullmatch(one) for one in self.digests):
            raise ValueError("each of digests must be a SHA-256 in hexadecimal digits")
        if self.kind not in KINDS or self.outcome not in OUTCOMES:
            raise ValueError(f"{self.kind} {self.outcome} is no known decision")


def digest(text: str) -> str:
    """The SHA-256 of a prompt: the log can be compared with a prompt, but does not show it."""
    return hashlib.sha256(text.encode()).hexdigest()


def record(session: Session, project_id: str, decision: NewDecision) -> Decision:
    """Append a decision to the project's chain, in the caller's transaction.

    Transactions of one project that record decisions wait for each other until they end: record late and commit soon.
    """
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"decisions of {project_id}", 0))))
    mine = select(Decision.number, Decision.hash).where(Decision.project_id == project_id)
    last = session.execute(mine.order_by(Decision.number.desc()).limit(1)).first()
    row = Decision(
        id=new_id("dec"),
        project_id=project_id,
        number=last.number + 1 if last else 1,
        previous=last.hash if last else START,
        created_at=now(session),
        **asdict(decision) | {"ids": list(decision.ids), "digests": list(decision.digests)},
    )
    row.hash = hash_of(as_json(row))
    session.add(row)
    session.flush()
    return row


def as_json(row: Decision) -> dict[str, Any]:
    """The decision as a line of the export: JSON values only, the time in UTC with microseconds."""
    fields = {name: getattr(row, name) for name in (*HASHED, "previous", "hash")}
    return fields | {"created_at": row.created_at.astimezone(UTC).isoformat(timespec="microseconds")}


def hash_of(line: Mapping[str, Any]) -> str:
    """The hash that a line must have: SHA-256 of `previous`, a line feed, and the other fields as canonical JSON.

    Canonical: ASCII, keys sorted, no spaces.
    """
    content = json.dumps({name: line[name] for name in HASHED}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{line['previous']}\n{content}".encode()).hexdigest()


def breaks(lines: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Each break of the chains: the decision's id and the fault.

    `lines` are complete chains, each in the order of its numbers. Raises KeyError for a line without one of the fields.
    """
    heads: dict[str, tuple[int, str]] = {}
    for line in lines:
        number, previous = heads.get(line["project_id"], (0, START))
        if line["number"] != number + 1:
            yield line["id"], f"is number {line['number']} of its project, and number {number + 1} is missing"
        elif line["previous"] != previous:
            yield line["id"], f"does not follow the decision number {number} of its project"
        if line["hash"] != hash_of(line):
            yield line["id"], "was changed: its hash does not fit its content"
        heads[line["project_id"]] = line["number"], line["hash"]


def listing(session: Session, project_id: str, window: Window, *, concerning: str | None = None) -> Page[Decision]:
    """One page of the project's decisions, newest first; with `concerning`, those about that id."""
    query = select(Decision).where(Decision.project_id == project_id)
    if concerning is not None:
        query = query.where(Decision.ids.contains([concerning]))
    return newest(session, query, Decision, window)


def export(session: Session, project_id: str | None = None, *, batch: int = 1000) -> Iterator[dict[str, Any]]:
    """All decisions as `as_json`, oldest first; of one project, or of all, one project after the other.

    The rows come in batches: the log may be larger than the memory.
    """
    query = select(Decision).order_by(Decision.project_id, Decision.number).execution_options(yield_per=batch)
    if project_id is not None:
        query = query.where(Decision.project_id == project_id)
    for row in session.scalars(query):
        yield as_json(row)
        session.expunge(row)
