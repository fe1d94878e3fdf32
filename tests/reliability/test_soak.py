"""A short soak; `make soak SECONDS=600` is the long one."""

from pathlib import Path

from tests.reliability.soak import soak


def test_a_minute_of_faults(tmp_path: Path) -> None:
    soak(60, seed=1, folder=tmp_path)
