"""The integration tests on the servers that production uses: ``make test-servers``.

Starts the machine's PostgreSQL behind a PgBouncer that lends connections by transaction, its Redis, and a Ceph with its
S3 gateway, on free loopback ports and temporary data. Then it runs the tests in two processes and stops what it
started. If a program is not installed, it prints the packages to install and succeeds. Arguments go to pytest in place
of the usual tests.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import pgbouncer
from cli.embedded import postgres, valkey
from tests.servers import ceph

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = Path(__file__).with_name("packages.txt")
DEBIAN_POSTGRES = Path("/usr/lib/postgresql")  # not on PATH there
PROGRAMS = ("initdb", "postgres", "pgbouncer", "redis-server", *ceph.PROGRAMS)
PROCESSES = 2
TESTS = (
    "tests/ledger",
    # Of the API, what stores, locks, notifies or pages.
    "tests/api/test_deletion_races.py",
    "tests/api/test_deletion_routes.py",
    "tests/api/test_file_routes.py",
    "tests/api/test_idempotency.py",
    "tests/api/test_image_routes.py",
    "tests/api/test_job_events.py",
    "tests/api/test_job_routes.py",
    "tests/api/test_journey.py",
    "tests/api/test_outages.py",
    "tests/api/test_pagination.py",
    "tests/api/test_upload_routes.py",
    "tests/worker/test_deliveries.py",
    "tests/worker/test_dispatcher.py",
    "tests/reliability/test_outages.py",
    "tests/service/test_through_the_api.py",
)

SLOW = "tests/ledger/test_audit.py::test_every_violation_is_found"
"""It makes sixty projects, for queries that lock nothing: two fifths of the time of all these tests."""


def main(arguments: list[str]) -> int:
    path = search_path(os.environ["PATH"])
    found = {name: shutil.which(name, path=path) for name in PROGRAMS}
    programs = {name: program for name, program in found.items() if program is not None}
    if missing := sorted(set(PROGRAMS) - set(programs), key=PROGRAMS.index):
        print(skipped(missing))
        return 0
    for name, program in programs.items():
        print(f"{name:14} {program}", flush=True)
    with TemporaryDirectory(prefix="lipe-servers-") as folder, servers(Path(folder), programs) as addresses:
        options = [f"-n{PROCESSES}", "--dist=loadfile", "--max-worker-restart=0"]
        command = [sys.executable, "-m", "pytest", *options, *(arguments or (*TESTS, f"--deselect={SLOW}"))]
        return subprocess.run(command, cwd=ROOT, env={**os.environ, **addresses, "PATH": path}, check=False).returncode


@contextmanager
def servers(folder: Path, programs: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Run PostgreSQL with its PgBouncer, Redis and a bucket for each test process.

    Yields the variables that tests/conftest.py reads.
    """
    binaries = [Path(programs["postgres"]).resolve().parent]
    with ExitStack() as running:
        store = running.enter_context(ceph.serve(folder / "ceph"))
        databases, brokers, buckets = [], [], []
        for process in range(PROCESSES):
            database = running.enter_context(
                postgres.serve(folder / f"postgres-{process}", durable=False, programs=binaries)
            )
            pooler = pgbouncer.serve(folder / f"pgbouncer-{process}", database, programs["pgbouncer"])
            databases.append(running.enter_context(pooler))
            brokers.append(
                running.enter_context(valkey.serve(folder / f"redis-{process}", program=programs["redis-server"]))
            )
            buckets.append(f"{store.bucket}-{process}")
        yield {
            "LIPE_TEST_DATABASE_URL": " ".join(databases),
            "LIPE_TEST_BROKER_URL": " ".join(brokers),
            "LIPE_TEST_S3_ENDPOINT_URL": store.endpoint_url,
            "LIPE_TEST_S3_ACCESS_KEY_ID": store.access_key_id,
            "LIPE_TEST_S3_SECRET_ACCESS_KEY": store.secret_access_key,
            "LIPE_TEST_S3_BUCKET": " ".join(buckets),
        }


def search_path(path: str) -> str:
    """PATH with Debian's newest PostgreSQL first, so that tests that start a server use it, too."""
    debian = sorted(DEBIAN_POSTGRES.glob("*/bin"), key=lambda folder: float(folder.parent.name), reverse=True)
    return os.pathsep.join([*map(str, debian[:1]), path])


def skipped(missing: list[str]) -> str:
    """A visible notice of what was not tested, and the command to install it."""
    install = f"apt-get install --no-install-recommends {' '.join(PACKAGES.read_text().split())}"
    stars = "*" * 72
    return (
        f"\n{stars}\n*** SKIPPED: not installed: {', '.join(missing)}.\n"
        f"*** PostgreSQL, Redis and Ceph from packages were NOT tested. On Debian:\n*** {install}\n{stars}\n"
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
