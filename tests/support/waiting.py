"""Waiting for another process or thread."""

import time
from collections.abc import Callable

PATIENCE_SECONDS = 300.0
"""A generous limit. Only a test that hangs reaches it, even on a loaded machine."""


def eventually(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    """Return when the condition holds. Raises AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"the condition did not hold within {seconds:.0f} s"
        time.sleep(0.02)
