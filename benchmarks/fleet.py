"""The load of many workers on one Postgres: ``python -m benchmarks.fleet`` (`make bench-fleet`).

The workers are simulated: threads of this process claim, renew and finish with the service's own functions. A worker is
busy with one job and renews its lease as often as a long job does. Figures are given for each number of workers, and
with PgBouncer, if it is installed, also through it. Shares, counts and bytes do not depend on the machine; times and
CPU do.
"""

import argparse
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

import psutil
from sqlalchemy import Engine, text

from benchmarks import pgbouncer
from benchmarks.fleet_queue import Fleet, affinity, fairness
from cli.embedded import postgres
from ledger import attempts, claims
from ledger.attempts import Claim, Progress
from ledger.claims import Abilities
from ledger.database import autocommit, make_engine, unit_of_work
from ledger.schema import migrate
from ledger.settings import Settings
from worker.attempt import RENEW_SECONDS

THREADS = 16
LEASE_SECONDS = 60.0
EVERY = RENEW_SECONDS[1]
PROGRESS = {"loss": 0.0123, "eta_seconds": 61.5}


@dataclass(frozen=True)
class Load:
    """Figures of one number of workers: latencies in ms, WAL in bytes, CPU of all Postgres processes in cores."""

    workers: int
    way: str
    claim_p50: float
    claim_p95: float
    renewals_per_second: float
    planned_per_second: float
    renewal_p50: float
    renewal_p95: float
    hot_share: float
    wal_per_renewal: float
    wal_per_job: float
    """Of its submission, claim and end, without renewals."""
    cores: float
    connections: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table, and write fleet.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/fleet"))
    parser.add_argument("--workers", type=int, nargs="+", default=[50, 500, 2000])
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    loads: list[Load] = []
    with TemporaryDirectory() as folder, postgres.serve(Path(folder) / "postgres") as url:
        migrate(_settings(url))
        with _ways(Path(folder), url) as ways:
            for way, through in ways:
                for count in given.workers:
                    loads.append(_measure(url, through, way, count, given.seconds))
                    print(json.dumps(asdict(loads[-1])), flush=True)
            fleet = Fleet(unit_of_work(make_engine(ways[-1][1])))
            others = {"fairness": fairness(fleet), "affinity": affinity(fleet)}
    print(json.dumps(others))
    (given.out / "fleet.json").write_text(json.dumps({"loads": [asdict(load) for load in loads], **others}, indent=2))


@contextmanager
def _ways(folder: Path, url: str) -> Iterator[list[tuple[str, str]]]:
    """The ways to the database: a name and a URL."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        print("pgbouncer is not installed: measured without it")
        yield [("direct", url)]
        return
    with pgbouncer.serve(folder / "pgbouncer", url, program) as through:
        yield [("direct", url), ("pgbouncer", through)]


def _measure(url: str, through: str, way: str, count: int, seconds: float) -> Load:
    """Let `count` workers claim a job each, renew for so many seconds, and finish."""
    admin, engine = make_engine(url, pool_size=1), make_engine(through, pool_size=THREADS)
    try:
        fleet = Fleet(unit_of_work(engine))
        empty = _counters(admin)
        fleet.submit(fleet.subject(), count)
        claiming, taken = _claim_all(engine, count)
        before, start, cpu = _counters(admin), time.monotonic(), _cpu()
        renewing = _renew_all(engine, taken, seconds)
        took, used, after = time.monotonic() - start, _cpu() - cpu, _counters(admin)
        renewals, hot, wal = (new - old for new, old in zip(after, before, strict=True))
        connections = _connections(admin)
        for claim in taken:
            with fleet.begin() as session:
                attempts.finish(session, claim, [], resolved={}, metrics={})
        per_job = (_counters(admin)[2] - empty[2] - wal) / count
    finally:
        admin.dispose()
        engine.dispose()
    return Load(
        count, way, *_latencies(claiming), round(len(renewing) / took, 1), round(count / EVERY, 1),
        *_latencies(renewing), round(hot / renewals, 3), round(wal / renewals), round(per_job),
        round(used / took, 2), connections,
    )  # fmt: skip


def _claim_all(engine: Engine, count: int) -> tuple[list[float], list[Claim]]:
    """Claim `count` jobs in THREADS threads: the seconds of each claim, and the claims."""
    begin, able = unit_of_work(engine), Abilities(["edit"])

    def claim(number: int) -> tuple[float, Claim]:
        start = time.monotonic()
        with begin() as session:
            taken = claims.claim_next(session, able, f"worker-{number}", lease_seconds=LEASE_SECONDS, max_running=10**6)
        assert taken is not None  # noqa: S101
        return time.monotonic() - start, taken

    with ThreadPoolExecutor(THREADS) as pool:
        done = list(pool.map(claim, range(count)))
    return [seconds for seconds, _ in done], [taken for _, taken in done]


def _renew_all(engine: Engine, taken: Sequence[Claim], seconds: float) -> list[float]:
    """Renew each lease every EVERY seconds, spread evenly, for so many seconds: the seconds of each renewal."""
    connect, start = autocommit(engine), time.monotonic()

    def renew(thread: int) -> list[float]:
        mine, latencies = taken[thread::THREADS], list[float]()
        due = [(start + EVERY * (THREADS * number + thread) / len(taken), claim) for number, claim in enumerate(mine)]
        for turn in range(int(seconds / EVERY)):
            for first, claim in due:
                time.sleep(max(0.0, first + turn * EVERY - time.monotonic()))
                began = time.monotonic()
                with connect() as connection:
                    progress = Progress("training", turn, 10**6, PROGRESS)
                    attempts.renew(connection, claim, progress, lease_seconds=LEASE_SECONDS)
                latencies.append(time.monotonic() - began)
        return latencies

    with ThreadPoolExecutor(THREADS) as pool:
        return [latency for latencies in pool.map(renew, range(THREADS)) for latency in latencies]


def _counters(admin: Engine) -> tuple[int, int, int]:
    """Updates of leases so far, those that were HOT, and bytes of WAL."""
    time.sleep(1.5)  # Postgres reports its statistics once a second
    with admin.connect() as connection:
        updates, hot = connection.execute(
            text("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'leases'")
        ).one()
        wal = connection.scalar(text("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')"))
    return updates, hot, int(wal or 0)


def _connections(admin: Engine) -> int:
    with admin.connect() as connection:
        clients = text("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
        return int(connection.scalar(clients) or 0)


def _cpu() -> float:
    """The CPU seconds of all Postgres processes of this program."""
    servers = [child for child in psutil.Process().children(recursive=True) if child.name().startswith("postgres")]
    return float(sum(sum(server.cpu_times()[:2]) for server in servers))


def _latencies(seconds: Sequence[float]) -> tuple[float, float]:
    """Median and 95th percentile in ms."""
    return round(1000 * median(seconds), 1), round(1000 * quantiles(seconds, n=20)[-1], 1)


def _settings(url: str) -> Settings:
    return Settings(
        database_url=url, broker_url="redis://none", s3_endpoint_url="http://none", s3_access_key_id="none",
        s3_secret_access_key="none", key_pepper="a pepper for benchmarks only",  # noqa: S106
    )  # fmt: skip


if __name__ == "__main__":
    main()
