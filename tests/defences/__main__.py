"""Remove each defence in a copy of the project, and see its test fail: ``python -m tests.defences [ATTACK ...]``.

Each test has to pass with its defence first: one that fails anyway, for example without a server, shows nothing. The
exit status is the number of tests that do not depend on their defence.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.defences.removals import REMOVALS, Removal
from tests.defences.table import ROOT, attacks

SECONDS = 300
"""Without its defence, a test may wait without end."""
OUTCOMES = {0: "passes", 1: "fails"}
FAILS_ANYWAY = "fails with its defence, too"
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "node_modules", "out", "dist", "__pycache__", ".*_cache")


@contextmanager
def without(removal: Removal, copy: Path) -> Iterator[None]:
    """The copy has no such defence while the block runs."""
    file = copy / removal.file
    text = file.read_text()
    file.write_text(text.replace(removal.old, removal.new))
    try:
        yield
    finally:
        file.write_text(text)


def outcome(test: str, copy: Path) -> str:
    """Run a test in the copy: "fails", "never ends" or "passes". Raises RuntimeError if there is no such test."""
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(copy), str(copy / "clients/python")])}
    file, _, name = test.partition("::")  # its class is not in the table
    options = ["-n0", "-q", "-x", "-p", "no:cacheprovider", "-m", "slow or not slow"]
    command = [sys.executable, "-m", "pytest", *options, file, "-k", name]
    with subprocess.Popen(
        command, cwd=copy, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            status = process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            return "never ends"
        finally:
            with suppress(ProcessLookupError):  # without its defence, a process may outlive its test
                os.killpg(process.pid, signal.SIGKILL)
    if status not in OUTCOMES:
        raise RuntimeError(f"{test} did not run: pytest ended with status {status}")
    return OUTCOMES[status]


def judge(removal: Removal, test: str, copy: Path) -> str:
    """The outcome of the test without the defence, or FAILS_ANYWAY."""
    if outcome(test, copy) != "passes":
        return FAILS_ANYWAY
    with without(removal, copy):
        return outcome(test, copy)


def main(chosen: set[int]) -> int:
    """Print a line for each attack."""
    survivors = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "lipe"
        shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
        tests = attacks()
        for removal in REMOVALS:
            if chosen and removal.attack not in chosen:
                continue
            found = judge(removal, tests[removal.attack], copy)
            survivors += found in ("passes", FAILS_ANYWAY)
            print(f"{removal.attack}\t{found}\t{tests[removal.attack]}", flush=True)
    return survivors


if __name__ == "__main__":
    sys.exit(main({int(number) for number in sys.argv[1:]}))
