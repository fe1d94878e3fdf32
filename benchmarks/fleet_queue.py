"""How the queue treats projects and priors: waits beside a project that floods it, and hits of held priors."""

import random
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import quantiles

from ledger import attempts, claims, images, jobs, priors, projects, subjects
from ledger.attempts import Claim
from ledger.claims import Abilities
from ledger.database import UnitOfWork
from ledger.models import Job, Subject, new_id
from ledger.storage import StoredObject, image_prefix

WORKERS = 4
FLOOD = 200
JOBS = 30
JOB_SECONDS = 0.1
PRIORS = 12
HELD = 3
EDITS = 240


@dataclass(frozen=True)
class Fleet:
    """Makes rows and runs simulated workers on one database."""

    begin: UnitOfWork

    def subject(self) -> Subject:
        """A subject of a new project."""
        with self.begin() as session:
            project = projects.create(session, new_id("fleet"))
            image_id = new_id("img")
            stored = StoredObject(f"{image_prefix(project.id, image_id)}image.png", 1, "0" * 64)
            image = images.add(session, project.id, image_id, stored, width=64, height=64)
            return subjects.create(
                session,
                project.id,
                name="Rex",
                class_noun="dog",
                token="sks",  # noqa: S106
                images=[image],
            )

    def submit(self, subject: Subject, count: int, prior_id: str | None = None) -> None:
        """Queue edits of the subject."""
        with self.begin() as session:
            for _ in range(count):
                jobs.submit(
                    session, subject.project_id, "edit", subject_id=subject.id, prior_id=prior_id, parameters={}
                )

    def claim(self, adapters: list[str]) -> Claim | None:
        """Claim the next edit, as a worker that holds these adapters."""
        with self.begin() as session:
            able = Abilities(["edit"], None, adapters)
            return claims.claim_next(session, able, "worker", lease_seconds=60.0, max_running=10**6)

    def finish(self, claim: Claim) -> Job:
        """End the job; return it as it then is."""
        with self.begin() as session:
            attempts.finish(session, claim, [], resolved={}, metrics={})
            return session.get_one(Job, claim.job_id)


def fairness(fleet: Fleet) -> dict[str, float]:
    """The 95th percentile of the wait in seconds: of two projects with now and then a job, and of one that floods."""
    flood, *others = (fleet.subject() for _ in range(3))
    waits: dict[str, list[float]] = defaultdict(list)
    fleet.submit(flood, FLOOD)
    is_over = [False]

    def work() -> None:
        while not is_over[0]:
            claim = fleet.claim([])
            if claim is None:
                time.sleep(JOB_SECONDS)
                continue
            time.sleep(JOB_SECONDS)
            waits[claim.project_id].append(claim.seconds_queued)
            fleet.finish(claim)

    with ThreadPoolExecutor(WORKERS) as pool:
        running = [pool.submit(work) for _ in range(WORKERS)]
        for _ in range(JOBS):
            for other in others:
                fleet.submit(other, 1)
            time.sleep(2 * JOB_SECONDS)
        while sum(map(len, waits.values())) < FLOOD + 2 * JOBS:
            time.sleep(JOB_SECONDS)
        is_over[0] = True
        for worker in running:
            worker.result()
    quiet = [wait for other in others for wait in waits[other.project_id]]
    return {"others_p95": _p95(quiet), "flood_p95": _p95(waits[flood.project_id]), "job_seconds": JOB_SECONDS}


def affinity(fleet: Fleet) -> dict[str, float]:
    """The share of edits whose prior the worker held: by the service's claims, and by claims without preference."""
    return {
        "held": _hits(fleet, lambda cache: list(cache)),
        "without_preference": _hits(fleet, lambda cache: []),
        "held_by_a_worker": HELD / PRIORS,
    }


def _hits(fleet: Fleet, tell: Callable[[OrderedDict[str, None]], list[str]]) -> float:
    subject, chance = fleet.subject(), random.Random(1)  # noqa: S311
    with fleet.begin() as session:
        made = [priors.create(session, subject.project_id, subject.id).id for _ in range(PRIORS)]
        for prior_id in made:
            priors.mark_ready(session, prior_id, manifest={}, adapter_key="key", adapter_sha256=prior_id)
    for _ in range(EDITS):
        fleet.submit(subject, 1, chance.choice(made))
    caches = [OrderedDict[str, None]() for _ in range(WORKERS)]
    hits = 0
    for turn in range(EDITS):
        cache = caches[turn % WORKERS]
        claim = fleet.claim(tell(cache))
        assert claim is not None  # noqa: S101
        prior_id = str(fleet.finish(claim).prior_id)
        hits += prior_id in cache
        cache[prior_id] = None
        cache.move_to_end(prior_id)
        if len(cache) > HELD:
            cache.popitem(last=False)
    return round(hits / EDITS, 3)


def _p95(seconds: list[float]) -> float:
    return round(quantiles(seconds, n=20)[-1], 3)
