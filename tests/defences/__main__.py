"""Remove each defence in a copy of the project, and see its test fail: ``python -m tests.defences [ATTACK ...]``.

The exit status is the number of tests that pass without the defence.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.defences.removals import REMOVALS, Removal
from tests.defences.table import ROOT, attacks

SECONDS = 300
"""Without its defence, a test may wait without end."""
OUTCOMES = {0: "passes", 1: "fails"}
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
    command = [sys.executable, "-m", "pytest", "-n0", "-q", "-x", "-p", "no:cacheprovider", file, "-k", name]
    with subprocess.Popen(
        command, cwd=copy, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            status = process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            return "never ends"
    if status not in OUTCOMES:
        raise RuntimeError(f"{test} did not run: pytest ended with status {status}")
    return OUTCOMES[status]


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
            with without(removal, copy):
                found = outcome(tests[removal.attack], copy)
            survivors += found == "passes"
            print(f"{removal.attack}\t{found}\t{tests[removal.attack]}", flush=True)
    return survivors


if __name__ == "__main__":
    sys.exit(main({int(number) for number in sys.argv[1:]}))
