"""The parts of the service's benchmark really run, and refuse figures of what did not happen. Nothing is timed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import history, service, submissions
from benchmarks.history import History
from benchmarks.job_latency import Working
from benchmarks.load import Round, drive
from benchmarks.service import Measured
from benchmarks.service_stack import Stack, stack
from benchmarks.submissions import BARE, EDITS, KEYED, Submissions


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("service")) as running:
        yield running


def test_every_contestant_is_driven_and_counted(running: Stack) -> None:
    rounds = submissions.measure(running, rounds=1, seconds=0.3, connections=2).rounds
    assert set(rounds) == {EDITS, KEYED, BARE}
    assert all(one.latencies and one.per_second > 0 for each in rounds.values() for one in each)


def test_answers_without_their_doorbells_are_no_figure(running: Stack) -> None:
    with pytest.raises(AssertionError, match="2 answers, 0 rows"):
        submissions._settle(running, 2, EDITS)


def test_a_refusal_is_no_figure(running: Stack) -> None:
    stranger = running.edit.__class__(running.edit.url, {}, running.edit.body)
    with pytest.raises(AssertionError, match="answered 401"):
        drive(stranger, 1, 0.1)


def test_a_history_is_made_and_asked(running: Stack) -> None:
    found = history.measure(running, counts=(20, 200), repeats=1).seconds
    assert list(found) == [20, 200]
    assert found[20].keys() == found[200].keys()


def test_the_table_has_every_part(tmp_path: Path) -> None:
    rounds = {EDITS: (Round(2.0, (0.1, 0.2)),), BARE: (Round(1.0, (0.1, 0.1)),)}
    long = History({1: {"claim": 0.001}, 2: {"claim": 0.003}})
    text = service.write(Measured(Submissions(rounds), Working((0.02,), (0.05,)), long), tmp_path, "facts")
    for line in (
        "| LIPE | 1 | 150.0 | 199.0 | 0.50 (0.50 to 0.50) |",
        "| from request to claim, worker idle | 20 (20 to 20) | below 50 (Redis), 250 (embedded) |",
        "| claim | 1.00 | 3.00 | 3.00 |",
    ):
        assert line in text
    assert (tmp_path / "table.md").read_text() == text


def test_histories_must_grow(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        service.parse(["--few", "10", "--many", "10"])
    assert "--few must be less" in capsys.readouterr().err
