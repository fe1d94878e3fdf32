"""The progress bars of a job end at 100 %, although the last progress event of a stage may be earlier than its end."""

import io
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

import pytest
from rich.console import Console

from cli.service import follow_job
from lipe_client import Client, Job, JobFailed, Progress


class Events:
    """A client whose job has these progress events, (stage, step, total), and then succeeds or fails."""

    def __init__(self, events: list[tuple[str, int, int]], failure: JobFailed | None = None) -> None:
        self.events, self.failure = events, failure

    def wait(self, job: Job, on_progress: Callable[[Progress], None]) -> Job:
        for sequence, (stage, step, total) in enumerate(self.events):
            data = {"stage": stage, "step": step, "total": total}
            on_progress(Progress(sequence=sequence, type="prior.progress", at=datetime.now(UTC), data=data))
        if self.failure:
            raise self.failure
        return job


def test_every_bar_of_a_job_that_succeeded_is_full() -> None:
    assert bars(Events([("loading", 0, 1), ("training", 1, 500), ("training", 480, 500)])) == {
        "loading": "1/1",
        "training": "500/500",
    }


def test_a_job_without_progress_events_leaves_no_bar() -> None:
    assert bars(Events([])) == {}


def test_the_bar_of_a_stage_that_failed_stays_where_it_was() -> None:
    failure = JobFailed(cast(Job, SimpleNamespace(id="job_1", status="failed", error=None)))
    shown = io.StringIO()
    with pytest.raises(JobFailed):
        follow(Events([("loading", 0, 1), ("training", 480, 500)], failure), shown)
    assert "480/500" in shown.getvalue()


def bars(events: Events) -> dict[str, str]:
    """The text of each bar after the job, by stage."""
    shown = io.StringIO()
    follow(events, shown)
    rows = [line.split() for line in shown.getvalue().splitlines() if line.strip()]
    return {row[0]: next(word for word in row if "/" in word) for row in rows}


def follow(events: Events, shown: io.StringIO) -> None:
    follow_job(cast(Client, events), cast(Job, None), Console(file=shown, width=100))
