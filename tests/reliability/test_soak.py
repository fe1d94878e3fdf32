"""A short soak test; `make soak SECONDS=600` runs a long one."""

from pathlib import Path

import pytest

from tests.reliability.soak import soak


@pytest.mark.slow
def test_slow_a_minute_of_random_faults(tmp_path: Path) -> None:
    soak(60, seed=1, folder=tmp_path)
