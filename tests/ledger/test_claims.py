"""Which job a worker claims: turns of projects, ranks, kinds, base models and held priors."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, text, update
from sqlalchemy.orm import Session

from ledger import attempts, claims, edits, jobs, priors, projects, quotas
from ledger.attempts import Claim
from ledger.claims import AFFINITY_SECONDS, TRAINING_SECONDS, Abilities
from ledger.database import UnitOfWork
from ledger.models import Job, Project, Share, Subject
from tests.support.rows import make_image, make_subject

ALL = Abilities(["prior", "edit", "captions"])
MANY = 1000


def submit(begin: UnitOfWork, subject: Subject, kind: str = "edit", **options: object) -> str:
    """Queue a job; return its id."""
    with begin() as session:
        job = jobs.submit(session, subject.project_id, kind, subject_id=subject.id, parameters={}, **options)  # type: ignore[arg-type]
        return job.id


def take(begin: UnitOfWork, able: Abilities = ALL, max_running: int = MANY) -> Claim | None:
    """Claim the next job."""
    with begin() as session:
        return claims.claim_next(session, able, "worker", lease_seconds=60, max_running=max_running)


def order(begin: UnitOfWork, able: Abilities = ALL) -> list[str]:
    """Claim all jobs; return their ids in this order."""
    taken = []
    while claim := take(begin, able):
        taken.append(claim.job_id)
    return taken


def age(begin: UnitOfWork, job_id: str, seconds: float) -> None:
    """Let the job have been submitted so much earlier."""
    with begin() as session:
        session.execute(update(Job).where(Job.id == job_id).values(rank_at=Job.rank_at - timedelta(seconds=seconds)))


def end(begin: UnitOfWork, claim: Claim, seconds: float) -> None:
    """End the attempt after so many GPU seconds."""
    with begin() as session:
        charged = Claim(claim.job_id, claim.project_id, claim.kind, claim.epoch, claim.attempt, 0.0)
        object.__setattr__(charged, "began", charged.began - seconds)
        assert attempts.finish_failed(session, charged, "internal_error", "a test", {})


@pytest.fixture
def other(begin: UnitOfWork) -> Subject:
    """A subject of another project."""
    with begin() as session:
        return make_subject(session, projects.create(session, "other").id)


def test_the_oldest_job_of_a_project_is_first(begin: UnitOfWork, subject: Subject) -> None:
    waiting = [submit(begin, subject) for _ in range(3)]
    assert order(begin) == waiting


def test_a_priority_goes_ahead_by_so_many_minutes_and_not_for_ever(begin: UnitOfWork, subject: Subject) -> None:
    old, older, urgent = (submit(begin, subject, priority=priority) for priority in (0, 0, 10))
    age(begin, old, 9 * 60)
    age(begin, older, 11 * 60)
    late = submit(begin, subject, priority=-1)
    assert order(begin) == [older, urgent, old, late]


def test_an_edit_goes_before_a_training_that_is_not_much_older(begin: UnitOfWork, subject: Subject) -> None:
    training, old_training = submit(begin, subject, "prior"), submit(begin, subject, "prior")
    age(begin, old_training, TRAINING_SECONDS + 60)
    edit = submit(begin, subject)
    assert order(begin) == [old_training, edit, training]


def test_a_worker_takes_only_its_kinds(begin: UnitOfWork, subject: Subject) -> None:
    training, edit = submit(begin, subject, "prior"), submit(begin, subject)
    assert order(begin, Abilities(["edit", "captions"])) == [edit]
    assert order(begin, Abilities(["prior"])) == [training]


def test_a_worker_takes_only_what_its_base_model_can_do(begin: UnitOfWork, subject: Subject) -> None:
    sdxl, other, any_model = (submit(begin, subject, base_model=name) for name in ("sdxl", "other", None))
    assert order(begin, Abilities(["edit"], "sdxl")) == [sdxl, any_model]
    assert order(begin, Abilities(["edit"], "third")) == []
    assert order(begin, Abilities(["edit"], "other")) == [other]


def test_a_worker_prefers_edits_of_the_priors_it_holds_for_a_while(begin: UnitOfWork, subject: Subject) -> None:
    with begin() as session:
        made = [priors.create(session, subject.project_id, subject.id).id for _ in range(2)]
        for prior_id in made:
            priors.mark_ready(session, prior_id, manifest={}, adapter_key="key", adapter_sha256=prior_id)
    cold, held, overdue = (submit(begin, subject, prior_id=made[number]) for number in (0, 1, 0))
    age(begin, overdue, 2 * AFFINITY_SECONDS)
    assert order(begin, Abilities(["edit"], None, [made[1]])) == [overdue, held, cold]


def test_a_worker_prefers_edits_of_the_images_that_it_has_inverted_with_their_prior(
    begin: UnitOfWork, subject: Subject
) -> None:
    with begin() as session:
        prior, another = (priors.create(session, subject.project_id, subject.id).id for _ in range(2))
        for prior_id in (prior, another):
            priors.mark_ready(session, prior_id, manifest={}, adapter_key="key", adapter_sha256=prior_id)
        images = {name: make_image(session, subject.project_id) for name in ("inverted", "new")}
        for name, image in images.items():
            image.sha256 = name

    def of_image(name: str, prior_id: str | None) -> str:
        row = edits.draft(
            subject.project_id, subject_id=subject.id, prior_id=prior_id, image_id=images[name].id, target_prompts=["a"]
        )
        return submit(begin, subject, prior_id=prior_id, edit_id=row.id, related=[row])

    other_prior, cold = of_image("inverted", another), of_image("new", None)
    held, best, bare = of_image("new", prior), of_image("inverted", prior), of_image("inverted", None)
    overdue = of_image("new", None)
    age(begin, overdue, 3 * AFFINITY_SECONDS)
    able = Abilities(["edit"], None, [prior], ["inverted"])
    assert order(begin, able) == [overdue, best, bare, held, other_prior, cold]


def test_a_project_that_floods_the_queue_waits_for_the_others(
    begin: UnitOfWork, subject: Subject, other: Subject
) -> None:
    for _ in range(20):
        submit(begin, subject)
    for _ in range(4):  # these run already
        assert take(begin)
    theirs = submit(begin, other)
    claim = take(begin)
    assert claim is not None
    assert claim.job_id == theirs


@pytest.mark.parametrize(("weight", "expected"), [(1.0, 12), (3.0, 18)])
def test_two_projects_share_one_worker_by_their_weights(
    begin: UnitOfWork, subject: Subject, other: Subject, weight: float, expected: int
) -> None:
    with begin() as session:
        session.get_one(Project, subject.project_id).weight = weight
    for owner in (subject, other):
        for _ in range(24):
            submit(begin, owner)
    turns = Counter[str]()
    for _ in range(24):
        claim = take(begin)
        assert claim is not None
        turns[claim.project_id] += 1
        end(begin, claim, 10.0)
    assert abs(turns[subject.project_id] - expected) <= 1


def test_what_a_project_used_long_ago_does_not_count(begin: UnitOfWork, subject: Subject, other: Subject) -> None:
    def remember(session: Session, owner: Subject, seconds: float, hours: int) -> None:
        ago = func.clock_timestamp() - timedelta(hours=hours)
        session.add(Share(project_id=owner.project_id, seconds=seconds, counted_at=ago))

    with begin() as session:
        remember(session, subject, 50_000.0, hours=24 * 365)
        remember(session, other, 50.0, hours=0)
    submit(begin, other)
    mine = submit(begin, subject)
    claim = take(begin)
    assert claim is not None
    assert claim.job_id == mine


def test_workers_that_claim_at_once_get_different_jobs(begin: UnitOfWork, subject: Subject, other: Subject) -> None:
    waiting = [submit(begin, owner) for owner in (subject, other) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        taken = [claim for claim in pool.map(lambda _: take(begin), range(24)) if claim]
    assert sorted(claim.job_id for claim in taken) == sorted(waiting)


def test_workers_that_claim_at_once_keep_to_the_quota(begin: UnitOfWork, subject: Subject, other: Subject) -> None:
    for owner in (subject, other):
        for _ in range(8):
            submit(begin, owner)
    with ThreadPoolExecutor(8) as pool:
        taken = [claim for claim in pool.map(lambda _: take(begin, max_running=3), range(24)) if claim]
    assert Counter(claim.project_id for claim in taken) == {subject.project_id: 3, other.project_id: 3}


def test_a_claim_that_would_exceed_the_quota_leaves_nothing(
    begin: UnitOfWork, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker may have claimed a job of the project since this one read the turns."""
    monkeypatch.setattr(quotas, "allows_running", lambda *_: False)
    job_id = submit(begin, subject)
    assert take(begin, max_running=8) is None
    with begin() as session:
        job = session.get_one(Job, job_id)
        assert (job.state, job.epoch, job.sequence, job.lease) == ("queued", 0, 1, None)


def test_a_training_does_not_count_when_it_would_give_way(begin: UnitOfWork, subject: Subject) -> None:
    training, able = submit(begin, subject, "prior"), Abilities(["edit"])
    assert take(begin)
    submit(begin, subject)
    with begin() as session:
        assert not claims.is_waiting(session, able, max_running=1)
        assert claims.is_waiting(session, able, max_running=1, besides=training)
        assert not claims.is_waiting(session, able, max_running=0, besides=training)


def test_a_waiting_job_is_noticed_without_claiming_it(begin: UnitOfWork, subject: Subject) -> None:
    with begin() as session:
        assert not claims.is_waiting(session, ALL, max_running=MANY)
    submit(begin, subject, "prior")
    with begin() as session:
        assert claims.is_waiting(session, ALL, max_running=MANY)
        assert not claims.is_waiting(session, Abilities(["edit"]), max_running=MANY)
        assert not claims.is_waiting(session, ALL, max_running=0)


def test_the_next_job_is_seen_in_the_order_of_claims(begin: UnitOfWork, subject: Subject, other: Subject) -> None:
    """With the running jobs that the other claims of the test leave."""
    for owner, kind in ((subject, "edit"), (other, "prior"), (subject, "prior"), (other, "edit"), (other, "edit")):
        submit(begin, owner, kind)
    seen, claimed = [], []
    while found := look(begin):
        seen.append(found[1])
        claim = take(begin)
        assert claim is not None
        assert found[0] == claim.project_id
        claimed.append(claim.job_id)
    assert seen == claimed
    assert len(seen) == 5


def test_the_next_job_of_a_full_project_is_seen_if_the_running_one_ends_before(
    begin: UnitOfWork, subject: Subject, other: Subject
) -> None:
    first, second = submit(begin, subject), submit(begin, subject)
    assert take(begin)
    assert look(begin, max_running=1) is None
    assert look(begin, max_running=1, running=first) == (subject.project_id, second)
    waiting = submit(begin, other)  # the project that has used less is before it
    assert look(begin, max_running=1, running=first) == (other.project_id, waiting)


def test_a_look_waits_for_no_claim_and_changes_nothing(begin: UnitOfWork, subject: Subject) -> None:
    job_id = submit(begin, subject)
    with begin() as claiming:
        assert claims.claim_next(claiming, ALL, "worker", lease_seconds=60, max_running=MANY)
        assert look(begin) == (subject.project_id, job_id)  # another transaction, before the claim is committed
    assert look(begin) is None


def look(begin: UnitOfWork, max_running: int = MANY, running: str = "") -> tuple[str, str] | None:
    """The next job, by a transaction that cannot write or lock."""
    with begin() as session:
        session.execute(text("SET TRANSACTION READ ONLY"))
        return claims.peek(session, ALL, max_running=max_running, running=running)
