"""Random sequences of what users, workers and the dispatcher may do, including late writes of dead workers.

After each step the tables agree with a model of a few lines, and the audit finds nothing.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as bounds
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Engine, delete, func, select, text, update

from ledger import (
    attempts,
    edit_inputs,
    edits,
    erasures,
    idempotency,
    jobs,
    outbox,
    priors,
    projects,
    reaper,
    retries,
    webhooks,
)
from ledger.artefacts import NewArtefact
from ledger.attempts import Claim, Control, Progress
from ledger.audit import audit
from ledger.claims import Abilities, claim_next
from ledger.database import UnitOfWork
from ledger.idempotency import Answer
from ledger.models import Job, Lease, OutboxEntry
from ledger.states import TERMINAL, State
from ledger.storage import Storage, attempt_prefix
from tests.support.factories import make_subject, put_image
from tests.support.tables import empty

MAX_ATTEMPTS = 3
LEASE_SECONDS = 3600.0
PROMPT = "a photo of sks dog jumping"
HOUR = timedelta(hours=1)


@dataclass
class Model:
    """The expected state of a job. `result` is the id of its prior or edit, `prior` that of the prior it edits with."""

    kind: str
    subject: str
    result: str
    prior: str | None = None
    key: str | None = None
    prior_deleted: bool = False
    state: State = State.QUEUED
    epoch: int = 0
    attempt: int = 0
    canceled: bool = False
    expired: bool = False
    retried: bool = False
    history: list[str] = field(default_factory=lambda: ["queued"])

    def becomes(self, state: State) -> None:
        self.state = state
        self.history.append(str(state))

    def is_held(self, claim: Claim) -> bool:
        return self.state is State.RUNNING and self.epoch == claim.epoch


class JobLives(RuleBasedStateMachine):
    """One project and a webhook endpoint. `claims` keeps all claims, so that outdated ones are used, too."""

    subjects = Bundle("subjects")
    tasks = Bundle("tasks")
    claims = Bundle("claims")

    def __init__(self, engine: Engine, begin: UnitOfWork, storage: Storage) -> None:
        super().__init__()
        self.begin, self.storage = begin, storage
        self.model: dict[str, Model] = {}
        empty(engine)
        with begin() as session:
            self.project = projects.create(session, "test")
            endpoint = webhooks.create_endpoint(session, self.project.id, "https://example.com/hook")
            earlier = endpoint.created_at - HOUR
            endpoint.changed_at = endpoint.created_at = earlier

    @rule(target=subjects)
    def create_subject(self) -> str:
        return make_subject(self.begin, self.storage, self.project).id

    @rule(target=tasks, subject=subjects, kind=st.sampled_from(["prior", "edit"]), key=st.sampled_from([None, *"abc"]))
    def submit(self, subject: str, kind: str, key: str | None) -> Any:
        if any(job.key == key is not None for job in self.model.values()):
            return self._submit_again(key)
        with self.begin() as session:
            if key is not None:
                assert idempotency.recall(session, self.project.id, key, b"request") is None
            job = self._submitted(session, subject, kind)
            job.idempotency_key = key
            if key is not None:
                answer = Answer(202, {"id": job.id, "subject_id": subject})
                idempotency.remember(session, self.project.id, key, b"request", answer)
        self.model[job.id] = _model_of(job, key)
        return job.id

    @rule(target=claims, task=tasks)
    def claim(self, task: str) -> Any:
        with self.begin() as session:
            claim = attempts.claim(session, task, "worker", lease_seconds=LEASE_SECONDS)
        job = self.model.get(task)
        assert (claim is not None) == (job is not None and job.state is State.QUEUED)
        if claim is None or job is None:
            return multiple()
        job.epoch, job.attempt, job.expired = job.epoch + 1, job.attempt + 1, False
        job.becomes(State.RUNNING)
        assert (claim.epoch, claim.attempt) == (job.epoch, job.attempt)
        return claim

    @rule(claim=claims)
    def renew(self, claim: Claim) -> None:
        with self.begin() as session:
            control = attempts.renew(session, claim, Progress("training", 1, 9), lease_seconds=LEASE_SECONDS)
        job = self.model.get(claim.job_id)
        if job is None or not job.is_held(claim):
            assert control is Control.LOST
        else:
            assert control is (Control.CANCEL if job.canceled else Control.GO_ON)
            job.expired = False

    @rule(task=tasks)
    def expire(self, task: str) -> None:
        with self.begin() as session:
            late = func.clock_timestamp() - timedelta(seconds=1)
            session.execute(update(Lease).where(Lease.job_id == task).values(until=late))
        if task in self.model and self.model[task].state is State.RUNNING:
            self.model[task].expired = True

    @rule()
    def reap(self) -> None:
        with self.begin() as session:
            count = reaper.reap(session, max_attempts=MAX_ATTEMPTS)
        lost = [job for job in self.model.values() if job.state is State.RUNNING and job.expired]
        assert count == len(lost)
        for job in lost:
            if job.canceled:
                job.becomes(State.CANCELED)
            else:
                job.becomes(State.FAILED if job.attempt >= MAX_ATTEMPTS else State.QUEUED)

    @rule(task=tasks)
    def cancel(self, task: str) -> None:
        with self.begin() as session:
            found = jobs.cancel(session, self.project.id, task)
        job = self.model.get(task)
        assert (found is None) == (job is None)
        if job is not None and job.state not in TERMINAL and not job.canceled:
            job.canceled = True
            if job.state is State.QUEUED:
                job.becomes(State.CANCELED)

    @rule(claim=claims)
    def finish(self, claim: Claim) -> None:
        job = self.model.get(claim.job_id)
        if job is None:
            artefacts, kind = [], "prior"
        else:
            kind = job.kind
            roles = ["adapter", "manifest"] if kind == "prior" else ["image"]
            prefix = attempt_prefix(claim.project_id, claim.job_id, claim.epoch)
            artefacts = [
                NewArtefact(role, role, "image/png", self.storage.put(prefix, role, role.encode(), "image/png"))
                for role in roles
            ]
        with self.begin() as session:
            done = attempts.finish(
                session, claim, artefacts, resolved={}, metrics={}, manifest={} if kind == "prior" else None
            )
        assert done == (job is not None and job.is_held(claim) and not job.canceled)
        if done and job is not None:
            job.becomes(State.SUCCEEDED)

    @rule(claim=claims, how=st.sampled_from(["fail", "stop", "drain", "crash"]))
    def end_otherwise(self, claim: Claim, how: str) -> None:
        with self.begin() as session:
            done = {
                "fail": lambda: attempts.finish_failed(session, claim, "invalid_request", "no", {}),
                "stop": lambda: attempts.finish_canceled(session, claim),
                "drain": lambda: attempts.release(session, claim, charge=False),
                "crash": lambda: attempts.release(session, claim, charge=True),
            }[how]()
        job = self.model.get(claim.job_id)
        held = job is not None and job.is_held(claim)
        assert done == (held and (how != "stop" or (job is not None and job.canceled)))
        if not done or job is None:
            return
        if how == "fail":
            job.becomes(State.FAILED)
        elif job.canceled:
            job.becomes(State.CANCELED)
        else:
            job.attempt -= how == "drain"
            job.becomes(State.QUEUED)

    @rule(target=tasks, task=tasks)
    def retry(self, task: str) -> Any:
        job = self.model.get(task)
        allowed = job is not None and job.state in retries.RETRYABLE and not (job.retried or job.prior_deleted)
        with self.begin() as session:
            try:
                new = retries.retry(session, self.project.id, task)
            except retries.NotRetryable:
                assert job is not None
                assert not allowed
                return multiple()
        assert (new is None) == (job is None)
        if new is None or job is None:
            return multiple()
        assert allowed
        job.retried = True
        self.model[new.id] = _model_of(new, None)
        return new.id

    @rule(subject=consumes(subjects))
    def erase(self, subject: str) -> None:
        with self.begin() as session:
            erasure = erasures.erase_subject(session, self.project.id, subject)
        assert erasure is not None
        erasures.sweep(self.begin, self.storage, erasure.id)
        self.model = {task: job for task, job in self.model.items() if job.subject != subject}

    @rule(task=tasks)
    def erase_result(self, task: str) -> None:
        job = self.model.get(task)
        if job is None:
            return
        users = [other for other in self.model.values() if other.prior == job.result]
        erase = erasures.erase_prior if job.kind == "prior" else erasures.erase_edit
        try:
            with self.begin() as session:
                erasure = erase(session, self.project.id, job.result)
        except erasures.InUse:
            assert any(user.state not in TERMINAL for user in users)
            return
        assert all(user.state in TERMINAL for user in users)
        assert erasure is not None
        erasures.sweep(self.begin, self.storage, erasure.id)
        for user in users:
            user.prior, user.prior_deleted = None, True
        self.model = {task: other for task, other in self.model.items() if other.result != job.result}

    @rule()
    def notify(self) -> None:
        outbox.publish(self.begin, lambda task, identifier: True, limit=1000)

    @rule(target=claims)
    def claim_next(self) -> Any:
        """A worker that no message wakes finds a queued job, if there is one."""
        able = Abilities(["prior", "edit"])
        with self.begin() as session:
            claim = claim_next(session, able, "worker", lease_seconds=LEASE_SECONDS, max_running=1000)
        assert (claim is not None) == any(job.state is State.QUEUED for job in self.model.values())
        if claim is None:
            return multiple()
        job = self.model[claim.job_id]
        job.epoch, job.attempt, job.expired = job.epoch + 1, job.attempt + 1, False
        job.becomes(State.RUNNING)
        return claim

    @rule()
    def lose_messages(self) -> None:
        """Lose the broker's messages and the outbox."""
        with self.begin() as session:
            session.execute(delete(OutboxEntry))

    @invariant()
    def the_tables_agree_with_the_model(self) -> None:
        with self.begin() as session:
            rows = {job.id: job for job in session.scalars(select(Job))}
            statuses: dict[str, list[str]] = {}
            for job_id, status in session.execute(text("SELECT job_id, data->>'status' FROM events ORDER BY id")):
                statuses.setdefault(job_id, []).append(status)
        assert {task: (row.state, row.epoch, row.attempt) for task, row in rows.items()} == {
            task: (job.state, job.epoch, job.attempt) for task, job in self.model.items()
        }
        assert statuses == {task: job.history for task, job in self.model.items()}

    @invariant()
    def the_audit_finds_nothing(self) -> None:
        assert audit(self.begin, self.storage, patience=HOUR, key_lifetime=24 * HOUR) == []

    def _submit_again(self, key: str | None) -> Any:
        assert key is not None
        with self.begin() as session:
            answer = idempotency.recall(session, self.project.id, key, b"request")
        assert answer is not None
        assert self.model[answer.body["id"]].key == key
        return multiple()

    def _submitted(self, session: Any, subject: str, kind: str) -> Job:
        if kind == "prior":
            prior = priors.create(session, self.project.id, subject)
            return jobs.submit(session, self.project.id, "prior", subject_id=subject, prior_id=prior.id, parameters={})
        image = put_image(self.begin, self.storage, self.project, shade=0)
        inputs = edit_inputs.find(
            session, self.project.id, subject_id=subject, prior_id=None, image_id=image.id, mask_image_id=None
        )
        edit = edits.draft(
            self.project.id, subject_id=subject, prior_id=inputs.prior_id, image_id=image.id, target_prompts=[PROMPT]
        )
        return jobs.submit(
            session, self.project.id, "edit", subject_id=subject, prior_id=inputs.prior_id, edit_id=edit.id,
            related=[edit], parameters={},
        )  # fmt: skip


def _model_of(job: Job, key: str | None) -> Model:
    """The model of a new job."""
    if job.kind == "prior":
        return Model("prior", job.subject_id, job.prior_id or "", key=key)
    return Model("edit", job.subject_id, job.edit_id or "", job.prior_id, key)


def machine(engine: Engine, begin: UnitOfWork, storage: Storage) -> type[JobLives]:
    """The state machine on these servers. Hypothesis creates it without arguments."""

    class Machine(JobLives):
        def __init__(self) -> None:
            super().__init__(engine, begin, storage)

    return Machine


def test_random_lives_of_jobs_keep_the_invariants(engine: Engine, begin: UnitOfWork, storage: Storage) -> None:
    run_state_machine_as_test(
        machine(engine, begin, storage),
        settings=bounds(
            max_examples=5, stateful_step_count=25, derandomize=True, deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip


@pytest.mark.slow
def test_slow_many_random_lives_of_jobs_keep_the_invariants(
    engine: Engine, begin: UnitOfWork, storage: Storage
) -> None:
    run_state_machine_as_test(
        machine(engine, begin, storage),
        settings=bounds(
            max_examples=300, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        ),
    )  # fmt: skip
