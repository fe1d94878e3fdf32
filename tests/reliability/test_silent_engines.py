"""An engine that reports nothing: its job is kept for as long as the process lives, unless the engine is stuck."""

from pathlib import Path

import pytest

from ledger import edits, jobs
from ledger.database import UnitOfWork
from ledger.models import Project
from ledger.settings import Settings
from ledger.states import State
from ledger.storage import Storage
from tests.reliability import engine
from tests.reliability.limits import RunAudit, Start
from tests.reliability.programs import dispatcher, put, real_worker, worker
from tests.support.factories import learn, make_subject, put_image, verified
from tests.support.kills import ended

LEASE_SECONDS = 4.0
STUCK_SECONDS = 20.0


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """A short lease, and a limit of silence that is longer than three leases."""
    return settings.model_copy(update={"lease_seconds": LEASE_SECONDS, "stuck_seconds": STUCK_SECONDS})


@pytest.mark.slow
def test_a_step_of_three_lease_times_succeeds_in_the_first_attempt(
    start: Start, begin: UnitOfWork, storage: Storage, project: Project, settings: Settings, run_audit: RunAudit
) -> None:
    job = learn(begin, project, make_subject(begin, storage, project), steps=1)
    start(dispatcher())
    start(worker(["priors"], [put("tests.reliability.engine:STEP_SECONDS", 3 * LEASE_SECONDS)]))
    done = ended(begin, job)
    assert (done.state, done.attempt, done.error_detail) == (State.SUCCEEDED, 1, None)
    assert engine.recorded_steps(settings.data_dir, job.id) == [(1, 1)]
    assert len(verified(begin, storage, job)) == 2
    run_audit()


class TestStuck:
    """An engine that never reports again."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"stuck_seconds": 3.0})

    def test_its_job_fails_and_a_new_process_takes_the_next(
        self, start: Start, begin: UnitOfWork, storage: Storage, project: Project, run_audit: RunAudit
    ) -> None:
        subject = make_subject(begin, storage, project)
        stuck, following = (learn(begin, project, subject, steps=steps) for steps in (1, 0))  # the second has no step
        start(dispatcher())
        program = start(worker(["priors"], [put("tests.reliability.engine:STEP_SECONDS", 10.0**6)]))
        failed = ended(begin, stuck)
        assert (failed.state, failed.error_code, failed.attempt) == (State.FAILED, "stuck", 1)
        assert failed.error_detail == 'no progress for 3 s in "training"'
        done = ended(begin, following)
        assert (done.state, done.attempt, program.process.exitcode) == (State.SUCCEEDED, 1, None)
        assert done.worker != failed.worker
        run_audit()


@pytest.mark.slow
class TestLargeImages:
    """The real engine: the results are composed and encoded at the size of the photo, for most of the job's time."""

    RESULTS = 16
    SIZE = (4000, 3000)

    @pytest.fixture
    def settings(self, settings: Settings, checkpoint: Path) -> Settings:
        return settings.model_copy(update={"base_model": str(checkpoint)})

    def test_sixteen_edits_of_a_photo_of_twelve_megapixels(
        self, start: Start, begin: UnitOfWork, storage: Storage, project: Project, run_audit: RunAudit
    ) -> None:
        subject = make_subject(begin, storage, project)
        photo = put_image(begin, storage, project, 0, self.SIZE)
        with begin() as session:
            row = edits.draft(
                project.id, subject_id=subject.id, prior_id=None, image_id=photo.id, method="sdedit",
                target_prompts=["a photo of sks dog jumping"],
            )  # fmt: skip
            job = jobs.submit(
                session, project.id, "edit", subject_id=subject.id, edit_id=row.id, related=[row],
                parameters={"sdedit": {"steps": 4}, "seeds": list(range(self.RESULTS))},
            )  # fmt: skip
        start(dispatcher())
        start(real_worker(["edits"]))
        done = ended(begin, job, 1800)
        assert (done.state, done.attempt, done.error_detail) == (State.SUCCEEDED, 1, None)
        images = [artefact for artefact in verified(begin, storage, job) if artefact.role == "image"]
        assert len(images) == self.RESULTS
        run_audit()
