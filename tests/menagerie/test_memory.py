"""The memory of a tree of processes."""

import subprocess
import sys
import time

from menagerie.memory import track_peak_memory, tree_memory_mb

_GRANDCHILD = "block = b'x' * (64 << 20); print(flush=True); import sys; sys.stdin.read()"
_CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {_GRANDCHILD!r}])"


def test_the_peak_includes_a_grandchild_that_has_ended() -> None:
    before = tree_memory_mb()
    with track_peak_memory() as peak:
        child = subprocess.Popen([sys.executable, "-c", _CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        with child:
            assert child.stdin
            assert child.stdout
            child.stdout.readline()
            deadline = time.monotonic() + 30
            while peak() < before + 64 and time.monotonic() < deadline:
                time.sleep(0.05)
            child.stdin.close()
        assert tree_memory_mb() < before + 32
        assert before + 64 <= peak() < before + 64 + 60
