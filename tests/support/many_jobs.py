"""Tables of a service that has worked for long: finished edits by the ten thousand, made by the database itself."""

from sqlalchemy import text
from sqlalchemy.orm import Session

RARE, NOWHERE = "failed", "canceled"
"""The oldest of many jobs are of the first state, none is of the second."""
FEW = 10

_EDITS = text("""
    INSERT INTO edits (id, project_id, subject_id, image_id, method, target_prompts, created_at)
    SELECT 'edt_' || md5('edit' || n), :project, :subject, :image, 'nima', '["a photo of sks dog jumping"]',
           clock_timestamp() - make_interval(secs => :count - n)
    FROM generate_series(1, :count) AS n
""")
_JOBS = text("""
    INSERT INTO jobs (id, project_id, kind, subject_id, edit_id, state, parameters, resolved, metadata, epoch, attempt,
                      sequence, progress, progress_sequence, metrics, rung_at, queued_at, claimed_at, started_at,
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


def fill(session: Session, project_id: str, subject_id: str, image_id: str, count: int) -> None:
    """So many finished edits, a second apart, each with its job and its last event. Pairs of metadata: `app`, which all
    share, and `order`, their number from the oldest on. The planner knows the tables afterwards."""
    session.execute(text("SET LOCAL statement_timeout = 0"))  # it fills at a busy machine's pace, for no request
    owner = {"project": project_id, "subject": subject_id, "image": image_id}
    session.execute(_EDITS, owner | {"count": count})
    # At once: a connection that has checked foreign keys into a small table would walk the large one for each row.
    session.execute(text("ANALYZE edits"))
    session.execute(_JOBS, {"project": project_id, "few": FEW})
    session.execute(text("ANALYZE jobs"))
    session.execute(_EVENTS, {"project": project_id})
    session.execute(text("ANALYZE events"))
