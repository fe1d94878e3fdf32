"""The whole service with simulated users and random faults; afterwards `lipe audit` must find nothing.

    python -m tests.reliability.soak --seconds 600 --seed 1

Two workers, dispatcher, API and webhook sender are real processes, started again when they die; database, broker and
storage are behind proxies. The seed determines the faults and their order; the timing depends on the machine.
"""

import argparse
import os
import random
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import redis
from sqlalchemy import func, select

from cli.embedded import s3
from cli.embedded.process import free_port
from cli.embedded.up import lipe_command
from ledger import keys, projects, webhooks
from ledger.database import UNAVAILABLE, UnitOfWork, make_engine, unit_of_work
from ledger.models import Job
from ledger.schema import migrate
from ledger.settings import Settings
from ledger.states import TERMINAL, State
from ledger.storage import Storage
from tests.reliability import programs
from tests.reliability.programs import Body, Program
from tests.reliability.proxy import Fault, HttpProxy
from tests.reliability.servers import Restartable, broker, database
from tests.reliability.users import User
from tests.support.checkout import PYTHON_PATH
from tests.support.factories import make_subject, put_image

LEASE_SECONDS = 3.0
SUBJECTS = 12
USERS = 3
QUIET_SECONDS = 120.0
PATIENCE_SECONDS = 30
EXPECTED = frozenset({200, 202, 204, 404, 409, 422, 429, 503})


class RestartedProgram:
    """A program that is started again when it has ended, like a container."""

    def __init__(self, name: str, body: Body, folder: Path, settings: Settings) -> None:
        self.name, self.starts = name, 0
        self._start = lambda: programs.start(body, folder / f"{name}.log", settings)
        self.program: Program = self._start()

    def restart_if_ended(self) -> None:
        if self.program.process.exitcode is not None:
            self.program.kill()  # the rest of its process group
            self.program, self.starts = self._start(), self.starts + 1


class Service:
    """All programs and servers of one soak test."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.database: Restartable = stack.enter_context(database(folder / "postgres"))
        self.broker: Restartable = stack.enter_context(broker(folder / "valkey"))
        store = stack.enter_context(s3.serve(folder / "s3"))
        self.storage = stack.enter_context(HttpProxy(store.endpoint_url).running())
        data_dir = folder / "data"
        data_dir.mkdir()
        self.settings = Settings(
            database_url=self.database.url, broker_url=self.broker.url, s3_endpoint_url=self.storage.url,
            s3_bucket=store.bucket, s3_access_key_id=store.access_key_id, s3_secret_access_key=store.secret_access_key,
            key_pepper="a pepper for soaking only", base_model="none", device="cpu", allow_private_urls=True,
            data_dir=data_dir, lease_seconds=LEASE_SECONDS, stranded_seconds=1.0, max_attempts=10,
        )  # fmt: skip
        migrate(self.settings)
        self.port = free_port()
        bodies = {f"worker-{number}": programs.worker(["priors", "edits"]) for number in (1, 2)}
        bodies |= {"api": programs.api(self.port), "dispatcher": programs.dispatcher(), "webhooks": programs.sender()}
        self.programs = {name: RestartedProgram(name, body, folder, self.settings) for name, body in bodies.items()}
        stack.callback(self.kill_all)

    def kill_all(self) -> None:
        for program in self.programs.values():
            program.program.kill()

    def restart_ended(self) -> None:
        for program in self.programs.values():
            program.restart_if_ended()


class Faults:
    """Random faults, each of limited duration."""

    def __init__(self, service: Service, chance: random.Random) -> None:
        self.service, self.chance, self.done = service, chance, Counter[str]()
        self.round: list[Callable[[], None]] = []
        self.kinds: list[Callable[[], None]] = [
            self.kill, self.kill_child, self.sleep_past_the_lease, self.terminate, self.flush, self.cut_broker,
            self.kill_broker, self.restart_database, self.cut_database, self.spoil_storage,
        ]  # fmt: skip

    def inject(self) -> None:
        """Inject the next fault. The order is random; each fault comes once in a round."""
        if not self.round:
            self.round = self.chance.sample(self.kinds, len(self.kinds))
        fault = self.round.pop()
        self.done[fault.__name__] += 1
        fault()

    def kill(self) -> None:
        self.chance.choice(list(self.service.programs.values())).program.kill()

    def kill_child(self) -> None:
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self._worker().program.pid).children():
                child.kill()

    def sleep_past_the_lease(self) -> None:
        program = self._worker().program
        program.send(signal.SIGSTOP, group=True)
        time.sleep(LEASE_SECONDS + 2)
        program.send(signal.SIGCONT, group=True)

    def terminate(self) -> None:
        self._worker().program.send(signal.SIGTERM)

    def flush(self) -> None:
        with redis.Redis.from_url(self.service.broker.url) as valkey:
            valkey.flushall()

    def cut_broker(self) -> None:
        self.service.broker.proxy.cut()

    def kill_broker(self) -> None:
        self.service.broker.kill()
        time.sleep(self.chance.uniform(0, 2))
        self.service.broker.start()

    def restart_database(self) -> None:
        self.service.database.stop()
        time.sleep(self.chance.uniform(0, 2))
        self.service.database.start()

    def cut_database(self) -> None:
        self.service.database.proxy.cut()

    def spoil_storage(self) -> None:
        fault = self.chance.choice([Fault(500), Fault(403), Fault(cut=True), Fault(seconds=LEASE_SECONDS + 1)])
        share = random.Random(self.chance.random())
        self.service.storage.faults = lambda method, path: fault if share.random() < 0.5 else None
        time.sleep(self.chance.uniform(1, 4))
        self.service.storage.faults = lambda method, path: None

    def _worker(self) -> RestartedProgram:
        return self.service.programs[self.chance.choice(["worker-1", "worker-2"])]


def soak(seconds: float, seed: int, folder: Path) -> None:
    """Run the soak test. Raises AssertionError if an invariant is violated."""
    with ExitStack() as stack:
        service = Service(folder, stack)
        engine = make_engine(service.settings.database_url, pool_size=2)
        stack.callback(engine.dispose)
        begin = unit_of_work(engine)
        with begin() as session:
            project = projects.create(session, "soak")
            key = keys.create(
                session, service.settings.key_pepper.get_secret_value(), project.id, "soak", scope="write"
            )[1]
            webhooks.create_endpoint(
                session, project.id, f"http://127.0.0.1:{service.port}/healthz"
            )  # answers 405, so that deliveries are retried
        storage = Storage(service.settings)
        subjects = [make_subject(begin, storage, project).id for _ in range(SUBJECTS)]
        image = put_image(begin, storage, project, 5).id
        users = [
            User(f"http://127.0.0.1:{service.port}", key, subjects[n::USERS], image, random.Random(f"{seed} {n}"))
            for n in range(USERS)
        ]
        faults = Faults(service, random.Random(seed))
        with _repeating([service.restart_ended], 0.3), _repeating([user.act for user in users], 0.3):
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                time.sleep(faults.chance.uniform(0.5, 3.0))
                faults.inject()
        with _repeating([service.restart_ended], 0.3):
            _until_quiet(begin, users)
        _check(begin, service, users)
        for user in users:
            user.client.close()
        print(f"faults {dict(faults.done)}", f"restarts { {k.name: k.starts for k in service.programs.values()} }")


@contextmanager
def _repeating(acts: list[Callable[[], None]], pause: float) -> Iterator[None]:
    over = threading.Event()
    failures: list[BaseException] = []

    def run(act: Callable[[], None]) -> None:
        try:
            while not over.wait(pause):
                act()
        except BaseException as failure:
            failures.append(failure)
            raise

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert failures == []


def _until_quiet(begin: UnitOfWork, users: list[User]) -> None:
    deadline = time.monotonic() + QUIET_SECONDS
    while True:
        with suppress(*UNAVAILABLE), begin() as session:
            counts = dict(session.execute(select(Job.state, func.count()).group_by(Job.state)).all())
            if set(counts) <= TERMINAL:
                print(f"jobs {counts}")
                return
        assert time.monotonic() < deadline, f"{QUIET_SECONDS:.0f} s after the last fault there are still {counts}"
        time.sleep(0.5)


def _check(begin: UnitOfWork, service: Service, users: list[User]) -> None:
    seen = sum((user.seen for user in users), Counter[int]())
    print(f"answers {dict(seen)}")
    assert set(seen) <= EXPECTED, f"unexpected answers: {seen}"
    with begin() as session:
        known = set(session.scalars(select(Job.id)))
        reasons = dict(session.execute(select(Job.error_code, func.count()).group_by(Job.error_code)).all())
        succeeded = session.scalar(select(func.count()).select_from(Job).where(Job.state == State.SUCCEEDED))
    print(f"failures {reasons}")
    lost = [job for user in users for job, of in user.accepted.items() if of not in user.erased and job not in known]
    assert lost == [], "jobs were accepted and are missing"
    assert succeeded, "nothing succeeded"
    assert reasons.keys() <= {None, "storage_unavailable", "worker_lost", "invalid_prior"}, reasons
    time.sleep(PATIENCE_SECONDS / 2)  # the dispatcher may still have to repair the last fault
    audit = subprocess.run(
        lipe_command("audit", "--patience", str(PATIENCE_SECONDS)),
        env={**os.environ, **programs.environment(service.settings), "PYTHONPATH": PYTHON_PATH},
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    print(audit.stdout, audit.stderr)
    assert audit.returncode == 0, audit.stdout


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Simulated users and random faults, then an audit.")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        soak(given.seconds, given.seed, Path(scratch))
