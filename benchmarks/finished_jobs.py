"""Fill the tables as after a long time of service: finished edits with their jobs and events, made by SQL alone."""

from sqlalchemy import text
from sqlalchemy.orm import Session

RARE, ABSENT = "failed", "canceled"
"""The state of the `FEW` oldest jobs, and a state that no job has."""
FEW = 10

_EDITS = text("""
    INSERT INTO edits (id, project_id, subject_id, image_id, method, target_prompts, created_at)
    SELECT 'edt_' || md5('edit' || n), :project, :subject, :image, 'nima', '["a photo of sks dog jumping"]',
           clock_timestamp() - make_interval(secs => :count - n)
    FROM generate_series(1, :count) AS n
""")
_JOBS = text("""
    INSERT INTO jobs (id, project_id, kind, subject_id, edit_id, state, parameters, resolved, metadata, epoch, attempt,
                      sequence, progress, progress_sequence, metrics, notified_at, queued_at, claimed_at, started_at,
                      finished_at, created_at)
    SELECT 'job_' || substr(id, 5), project_id, 'edit', subject_id, id,
           CASE WHEN row_number() OVER (ORDER BY created_at) <= :few THEN 'failed' ELSE 'succeeded' END,
           '{"nima": {}, "seeds": [1]}', '{}',
           jsonb_build_object('app', 'phone', 'order', (row_number() OVER (ORDER BY created_at))::text),
           1, 1, 3, '{}', 0, '{}', created_at, created_at, created_at, created_at, created_at, created_at
    FROM edits WHERE project_id = :project
""")
_EVENTS = text("""
    INSERT INTO events (project_id, job_id, sequence, type, data, terminal, created_at)
    SELECT project_id, id, 3, 'edit.' || state, '{}', true, created_at FROM jobs WHERE project_id = :project
""")

_ANSWERS = text("""
    INSERT INTO idempotent_requests (project_id, key, fingerprint, status, body, headers, expires_at)
    SELECT project_id, id, '', 202, jsonb_build_object('id', id), '{}', clock_timestamp() + interval '1 day'
    FROM jobs WHERE project_id = :project
    ON CONFLICT DO NOTHING
""")


def fill(session: Session, project_id: str, subject_id: str, image_id: str, count: int) -> None:
    """Insert `count` finished edits, one per second, each with job, last event and stored answer. Update statistics.

    Each job has two pairs of metadata: `app`, the same for all, and `order`, its number from the oldest on.
    """
    session.execute(text("SET LOCAL statement_timeout = 0"))  # a large fill takes longer than any request may
    owner = {"project": project_id, "subject": subject_id, "image": image_id}
    session.execute(_EDITS, owner | {"count": count})
    # Before the jobs: a foreign-key plan that was made for a small table would scan the large one for each row.
    session.execute(text("ANALYZE edits"))
    session.execute(_JOBS, {"project": project_id, "few": FEW})
    session.execute(text("ANALYZE jobs"))
    session.execute(_EVENTS, {"project": project_id})
    session.execute(text("ANALYZE events"))
    session.execute(_ANSWERS, {"project": project_id})
    session.execute(text("ANALYZE idempotent_requests"))
