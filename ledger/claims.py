"""Which of the queued jobs a worker claims.

Projects take turns: next is the project that has used the least GPU time for its weight. Its jobs follow their rank,
which is the time of the submission, moved by the priority and the kind. A job therefore overtakes others by a fixed
time and no more, so that none waits for ever. Among jobs of nearly equal rank, an edit goes to a worker that holds its
prior, and rather to one that has inverted its image.

A claim locks one row, and skips rows that another worker is claiming. Two workers that claim at the same moment may see
the same shares, and so differ from the exact order by one job.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from psycopg import Connection
from sqlalchemy import ARRAY, Executable, String, bindparam, text
from sqlalchemy.orm import Session

from ledger import attempts, quotas
from ledger.attempts import Claim
from ledger.compiled_statement import CompiledStatement, SessionOrConnection
from ledger.shares import HALF_LIFE_SECONDS
from ledger.states import JobKind

AFFINITY_SECONDS = 10.0
"""A worker that holds the prior of a job may take it before jobs that rank this much earlier. If it holds the image of
an edit as well, or the edit needs no prior, twice as much."""
TRAINING_SECONDS = 600.0
"""A training ranks as if it had been submitted so much later: people wait for edits."""
CANDIDATES = 32
"""So many of a project's first jobs are searched for one whose prior the worker holds."""
CLAIMS_AT_ONCE = 1000
"""More claims than run at once: each holds a connection to Postgres."""
MIN_RUNNING_SECONDS = 5.0
"""A running job counts for at least so much of its project's share, so that claims of one moment differ."""


@dataclass(frozen=True)
class Abilities:
    """What a worker can do: the kinds of job, the fingerprint of its base model, and what it holds.

    `adapters` are SHA-256 of adapter files, and `images` of image files that are inverted. A job that needs another
    base model is not claimed.
    """

    kinds: Sequence[JobKind]
    base_model: str | None = None
    adapters: Sequence[str] = ()
    images: Sequence[str] = ()


def claim_next(
    session: Session, abilities: Abilities, worker: str, *, lease_seconds: float, max_running: int
) -> Claim | None:
    """Claim the job that this worker should do next. None: no job waits that it can do and that may run.

    `max_running` is the quota of running jobs of the projects that have none of their own.
    """
    for project_id, running, quota in _turns(session, abilities, max_running):
        job_id = _first(session, project_id, abilities)
        if job_id is None:
            continue
        attempt = session.begin_nested()
        claim = attempts.claim(session, job_id, worker, lease_seconds=lease_seconds)
        # Near the quota it is checked last, because its lock makes other claims of the project wait.
        is_near = running > quota - CLAIMS_AT_ONCE
        if claim and (not is_near or quotas.allows_running(session, project_id, quota)):
            attempt.commit()
            return claim
        attempt.rollback()
    return None


def is_waiting(on: Session | Connection, abilities: Abilities, *, max_running: int, besides: str = "") -> bool:
    """Whether `claim_next` would probably find a job if the running job `besides` were back in the queue."""
    return bool(_turns(on, abilities, max_running, besides))


def peek(session: Session, abilities: Abilities, *, max_running: int, running: str = "") -> tuple[str, str] | None:
    """The project and the job that `claim_next` would probably claim after the job `running`.

    It changes and locks nothing. Another worker may claim the job first, or a later submission may come before it.
    """
    for project_id, *_ in _turns(session, abilities, max_running, running):
        for (job_id,) in _NEXT(session, **_choice(project_id, abilities)):
            return project_id, job_id
    return None


def _turns(
    on: SessionOrConnection, abilities: Abilities, max_running: int, besides: str = ""
) -> list[tuple[str, int, int]]:
    """The projects whose turn it is, the first one first: id, number of running jobs but `besides`, their quota."""
    rows = _TURNS(
        on,
        kinds=list(abilities.kinds),
        base_model=abilities.base_model,
        max_running=max_running,
        min_running=MIN_RUNNING_SECONDS,
        half_life=HALF_LIFE_SECONDS,
        besides=besides,
    )
    return [(project_id, running, quota) for project_id, running, quota in rows]


def _first(session: Session, project_id: str, abilities: Abilities) -> str | None:
    """Lock the project's first job that no other worker is claiming; return its id."""
    return next((job_id for (job_id,) in _FIRST(session, **_choice(project_id, abilities))), None)


def _choice(project_id: str, abilities: Abilities) -> dict[str, Any]:
    """The parameters of a choice among the project's jobs."""
    return {
        "project": project_id,
        "kinds": list(abilities.kinds),
        "base_model": abilities.base_model,
        "adapters": list(abilities.adapters),
        "images": list(abilities.images),
        "affinity": timedelta(seconds=AFFINITY_SECONDS),
        "training": timedelta(seconds=TRAINING_SECONDS),
        "candidates": CANDIDATES,
    }


def _with_lists(statement: str, *lists: str) -> Executable:
    return text(statement).bindparams(*(bindparam(name, type_=ARRAY(String)) for name in lists))


# `waiting` skips from project to project in the index, so that a project with a long queue costs as much as another.
# The orders are those of the index `ix_jobs_waiting`: without them Postgres may read the whole table for one row.
_TURNS = CompiledStatement(
    _with_lists(
        """
WITH RECURSIVE waiting(id) AS (
    (SELECT project_id FROM jobs WHERE state = 'queued' ORDER BY project_id, kind, rank_at, id LIMIT 1)
    UNION ALL
    SELECT (
        SELECT project_id FROM jobs WHERE state = 'queued' AND project_id > waiting.id
        ORDER BY project_id, kind, rank_at, id LIMIT 1
    )
    FROM waiting WHERE waiting.id IS NOT NULL
)
SELECT projects.id, running.count, coalesce(projects.max_running_jobs, :max_running) AS quota
FROM waiting
JOIN projects ON projects.id = waiting.id
LEFT JOIN shares ON shares.project_id = projects.id
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE jobs.id <> :besides) AS count,
        coalesce(sum(greatest(extract(epoch FROM clock_timestamp() - claimed_at), :min_running)), 0) AS seconds
    FROM jobs WHERE jobs.project_id = projects.id AND jobs.state = 'running'
) AS running
WHERE running.count < coalesce(projects.max_running_jobs, :max_running)
    AND EXISTS (
        SELECT FROM unnest(CAST(:kinds AS text[])) AS wanted(kind) CROSS JOIN LATERAL (
            SELECT FROM jobs
            WHERE jobs.project_id = projects.id AND jobs.state = 'queued' AND jobs.kind = wanted.kind
                AND (jobs.base_model IS NULL OR jobs.base_model = :base_model)
            ORDER BY jobs.rank_at, jobs.id LIMIT 1
        ) AS job
    )
ORDER BY (running.seconds + coalesce(shares.seconds * power(0.5, least(50,
        greatest(0, extract(epoch FROM clock_timestamp() - shares.counted_at)) / :half_life)), 0)) / projects.weight,
    projects.id
""",
        "kinds",
    )
)

_CHOICE = """
SELECT jobs.id
FROM (
    SELECT first.* FROM unnest(CAST(:kinds AS text[])) AS wanted(kind) CROSS JOIN LATERAL (
        SELECT id, rank_at, prior_id, edit_id FROM jobs
        WHERE project_id = :project AND state = 'queued' AND jobs.kind = wanted.kind
            AND (base_model IS NULL OR base_model = :base_model)
        ORDER BY rank_at, id LIMIT :candidates
    ) AS first
) AS candidate
JOIN jobs ON jobs.id = candidate.id
LEFT JOIN priors ON priors.id = candidate.prior_id AND jobs.kind <> 'prior'
LEFT JOIN edits ON edits.id = candidate.edit_id
LEFT JOIN images ON images.id = edits.image_id AND images.sha256 = ANY(CAST(:images AS text[]))
WHERE jobs.state = 'queued'
ORDER BY candidate.rank_at + CASE
        WHEN jobs.kind = 'prior' THEN CAST(:training AS interval)
        WHEN images.id IS NOT NULL AND (priors.id IS NULL OR priors.adapter_sha256 = ANY(CAST(:adapters AS text[])))
            THEN - 2 * CAST(:affinity AS interval)
        WHEN priors.adapter_sha256 = ANY(CAST(:adapters AS text[])) THEN - CAST(:affinity AS interval)
        ELSE interval '0'
    END, candidate.id
LIMIT 1
"""
_FIRST = CompiledStatement(_with_lists(_CHOICE + "FOR UPDATE OF jobs SKIP LOCKED", "kinds", "adapters", "images"))
_NEXT = CompiledStatement(_with_lists(_CHOICE, "kinds", "adapters", "images"))
