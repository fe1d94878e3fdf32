"""Each attack is carried out, the neighbour's operations are measured, and the table names what is missed."""

from collections.abc import Iterator

import pytest

from benchmarks import neighbours
from benchmarks.attacks import ATTACKS, slow_jpeg
from benchmarks.neighbours import Pair, as_markdown
from benchmarks.service_stack import Stack, run_stack

OPERATIONS = {"upload", "submission", "first event", "webhook"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with run_stack(tmp_path_factory.mktemp("neighbours"), limits={"allow_private_urls": True}) as stack:
        yield stack


@pytest.mark.slow
def test_every_operation_is_measured_alone_and_under_attack(stack: Stack) -> None:
    (stalled,) = [name for name in ATTACKS if "stall" in name]
    pairs = neighbours.measure(stack, [stalled], rounds=2, seconds=0.1, rest=0.0, lead=0.0)
    assert list(pairs) == [stalled]
    for seconds in (pairs[stalled].alone, pairs[stalled].attacked):
        assert set(seconds) == OPERATIONS
        assert all(len(each) >= 4 and min(each) > 0 for each in seconds.values())  # two for each round


def test_the_table_marks_what_misses_the_bound() -> None:
    text = as_markdown({"noise": Pair({"upload": (0.01, 0.01)}, {"upload": (0.03, 0.03)})})
    assert text.splitlines()[-1] == "| noise | upload | 10, 10 | 30, 30 | 3.0 (missed) |"


def test_a_slow_image_is_small() -> None:
    assert 50_000 < len(slow_jpeg()) < 300_000
