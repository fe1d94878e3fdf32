"""The page of the problem codes: their facts from the API and the workers, their meanings from `problem_meanings`."""

from api.problem_kinds import PROBLEM_KINDS
from docs.generate.markdown import page, table
from docs.generate.problem_meanings import JOB_ERRORS, PROBLEMS
from worker.job_errors import CODES, DISK_FULL, INTERNAL, STUCK

INTRODUCTION = """
Every refusal of the API is an `application/problem+json` document ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)):

```json
{
  "type": "urn:lipe:problem:prompt_without_subject",
  "title": "The prompt does not name the subject",
  "status": 422,
  "detail": "write 'sks dog' in the prompt 'a dog jumping'",
  "code": "prompt_without_subject",
  "param": "prompt",
  "errors": [],
  "request_id": "req_5f0c...",
  "retryable": false
}
```

`code` is stable; `detail` is for people and may change. `param` names the field with the error, such as
`references[1]`; `errors` lists all errors if there are several. `retryable`: the same request may succeed after
`Retry-After` seconds. Send it with the same `Idempotency-Key`, so that it takes effect once only. Quote `request_id` in
a report.
"""
FAILED = """
A failed job has an `error` with a `code` and a `detail`. Retry it with `POST /v1/jobs/{id}/retry`, or correct the
request and send it again.
"""
JOB_CODES = (*dict.fromkeys(CODES.values()), STUCK, DISK_FULL, "worker_lost", INTERNAL)
"""All error codes of jobs: those of exceptions, and those that the reaper and `run_job` set."""


def render() -> str:
    """The text of docs/problems.md. Raises KeyError if a code has no meaning in `problem_meanings`."""
    problems = (
        (f"`{code}`", str(kind.status), "yes" if kind.retryable else "no", PROBLEMS[code])
        for code, kind in PROBLEM_KINDS.items()
    )
    jobs = ((f"`{code}`", JOB_ERRORS[code]) for code in JOB_CODES)
    return page(
        "Problem codes",
        INTRODUCTION,
        table(("code", "status", "retryable", "meaning, and what to do"), problems),
        "## Failed jobs",
        FAILED,
        table(("code", "meaning, and what to do"), jobs),
    )
