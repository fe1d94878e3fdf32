"""The contract, tested by schemathesis on the real application: examples, coverage, fuzzing and stateful sequences."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from ledger import attempts
from ledger.database import UnitOfWork
from ledger.models import Job, Project
from ledger.states import State
from tests.support.api_fixtures import NewKey
from tests.support.checkout import PYTHON_PATH

CONFIG = Path(__file__).with_name("schemathesis.toml")


@pytest.fixture
def failing_worker(begin: UnitOfWork) -> Iterator[None]:
    """A worker that fails every job, so that its events end."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.05):
            with begin() as session:
                for job_id in session.scalars(select(Job.id).where(Job.state == State.QUEUED)).all():
                    claim = attempts.claim(session, job_id, "worker-1", lease_seconds=60)
                    if claim is not None:
                        attempts.finish_failed(session, claim, "internal_error", "there is no GPU in this test", {})

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


EDITS, PRIORS = "^/v1/edits", "^/v1/subjects/.*priors"


@pytest.mark.parametrize(
    "part",
    [
        ("--phases=examples",),
        ("--phases=coverage", f"--include-path-regex={EDITS}"),
        ("--phases=coverage", f"--include-path-regex={PRIORS}"),
        ("--phases=coverage", f"--exclude-path-regex={EDITS}|{PRIORS}"),
        ("--phases=fuzzing",),
        ("--phases=stateful",),
    ],
    ids=["examples", "coverage of edits", "coverage of priors", "coverage of the rest", "fuzzing", "stateful"],
)
def test_the_contract_holds(
    part: tuple[str, ...],
    server: str,
    api: TestClient,
    project: Project,
    new_key: NewKey,
    prior: str,
    upload: Callable[..., str],
    failing_worker: None,
    tmp_path: Path,
) -> None:
    endpoint: dict[str, Any] = {"url": "http://127.0.0.1:9/hook"}
    api.post("/v1/webhook-endpoints", json=endpoint).raise_for_status()
    payload = {"prior_id": prior, "image_id": upload("white"), "prompt": "a photo of sks dog jumping"}
    api.post("/v1/edits", json=payload).raise_for_status()
    schemathesis = [sys.executable, "-m", "schemathesis.cli", f"--config-file={CONFIG}", "run"]
    command = [*schemathesis, *part, f"{server}/openapi.json"]
    run = subprocess.run(
        command,
        cwd=tmp_path,  # schemathesis leaves files behind
        env=os.environ | {"LIPE_API_KEY": new_key(project), "PYTHONPATH": PYTHON_PATH},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout
