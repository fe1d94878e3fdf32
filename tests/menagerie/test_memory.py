"""Memory of a tree of processes: what it must see, and count once."""

import subprocess
import sys
import time

from menagerie.memory import held, peak_of_the_tree

_GRANDCHILD = "held = b'x' * (64 << 20); print(flush=True); import sys; sys.stdin.read()"
_CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {_GRANDCHILD!r}])"


def test_the_peak_has_what_a_grandchild_held_though_it_is_gone() -> None:
    before = held()
    with peak_of_the_tree() as peak:
        child = subprocess.Popen([sys.executable, "-c", _CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        with child:
            child.stdout.readline()
            deadline = time.monotonic() + 30
            while peak() < before + 64 and time.monotonic() < deadline:
                time.sleep(0.05)
            child.stdin.close()
        assert held() < before + 32
        assert before + 64 <= peak() < before + 64 + 60
