"""The consent of a person is revoked while real processes learn a prior: what stops, what is erased, what goes on."""

from pathlib import Path

import httpx
import pytest

from cli.embedded.process import free_port
from ledger import consents
from ledger.consents import Receipt
from ledger.database import UnitOfWork
from ledger.models import Project, Subject
from ledger.settings import Settings
from ledger.states import State
from ledger.storage import Storage
from tests.reliability.limits import RunAudit, Start
from tests.reliability.programs import api, dispatcher, real_worker
from tests.support.factories import edit, learn, make_subject
from tests.support.kills import at_step, ended
from tests.support.waiting import eventually


@pytest.fixture
def settings(settings: Settings, checkpoint: Path) -> Settings:
    """The tiny checkpoint."""
    return settings.model_copy(update={"base_model": str(checkpoint)})


@pytest.fixture
def person(begin: UnitOfWork, storage: Storage, project: Project) -> Subject:
    """A subject whose consent is given."""
    subject = make_subject(begin, storage, project)
    with begin() as session:
        consents.give(session, session.get_one(Subject, subject.id), Receipt("Ada", "images for her book"), "operator")
    return subject


@pytest.mark.slow
def test_a_revocation_in_mid_training_frees_the_worker_and_ends_all_use(
    start: Start, begin: UnitOfWork, storage: Storage, settings: Settings, project: Project, person: Subject, key: str,
    run_audit: RunAudit,
) -> None:  # fmt: skip
    port = free_port()
    start(api(port))
    start(dispatcher())
    worker = start(real_worker(["priors"]))
    learned = learn(begin, project, person, steps=2)
    assert ended(begin, learned).state == State.SUCCEEDED
    assert list(storage.keys(f"projects/{project.id}/jobs/{learned.id}/")) != []
    training = learn(begin, project, person, steps=1_000_000)  # more than it can do
    at_step(begin, training, 10)
    waiting = edit(begin, storage, project, person, learned.prior_id, steps=1)  # no worker takes edits

    consent = f"http://127.0.0.1:{port}/v1/subjects/{person.id}/consent"
    with httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
        assert client.delete(consent).json()["consent"]["state"] == "revoked"
        stopped = [ended(begin, job) for job in (training, waiting)]
        assert [(job.state, job.error_code) for job in stopped] == [(State.CANCELED, "consent_ended")] * 2
        again = client.post(f"http://127.0.0.1:{port}/v1/subjects/{person.id}/priors")
        assert (again.status_code, again.json()["code"]) == (409, "consent_ended")

    other = learn(begin, project, make_subject(begin, storage, project), steps=2)
    assert ended(begin, other).state == State.SUCCEEDED
    assert worker.process.exitcode is None
    eventually(lambda: not list(storage.keys(f"projects/{project.id}/jobs/{learned.id}/")))
    assert list(storage.keys(f"projects/{project.id}/jobs/{training.id}/")) == []
    assert list((settings.data_dir / "checkpoints").glob(f"{training.id}.*")) == []
    run_audit()
