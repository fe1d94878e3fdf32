"""The parts of the service benchmark run, and refuse invalid results. No test depends on time."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import history, job_latency, service, submissions
from benchmarks.history import History
from benchmarks.job_latency import JobLatency
from benchmarks.load import Round, run_load
from benchmarks.service import Results
from benchmarks.service_stack import Stack, run_stack
from benchmarks.submissions import BASELINE, EDITS, KEYED, Submissions


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with run_stack(tmp_path_factory.mktemp("service")) as stack:
        yield stack


def test_every_target_is_measured(stack: Stack) -> None:
    rounds = submissions.measure(stack, rounds=1, seconds=0.3, connections=2).rounds
    assert set(rounds) == {EDITS, KEYED, BASELINE}
    assert all(one.latencies and one.per_second > 0 for each in rounds.values() for one in each)


def test_accepted_edits_without_rows_and_notifications_are_an_error(stack: Stack) -> None:
    with pytest.raises(AssertionError, match="2 accepted, 0 rows, 0 notifications"):
        submissions._check_and_clear(stack, 2, EDITS)


def test_a_refused_edit_is_an_error(stack: Stack) -> None:
    unauthorized = replace(stack.edit, headers={})
    with pytest.raises(AssertionError, match="answered 401"):
        run_load(unauthorized, 1, 0.1)


@pytest.mark.slow
def test_every_job_of_the_paced_worker_is_measured(stack: Stack) -> None:
    latency = job_latency.measure(stack, idle=1, queued=2)
    assert len(latency.to_claim) == 1
    assert latency.to_claim[0] > 0
    assert len(latency.overhead) == 2


def test_every_operation_is_measured_for_each_history(stack: Stack) -> None:
    found = history.measure(stack, counts=(20, 200), repeats=1).seconds
    assert list(found) == [20, 200]
    assert found[20].keys() == found[200].keys()


def test_the_table_has_every_part(tmp_path: Path) -> None:
    rounds = {EDITS: (Round(2.0, (0.1, 0.2)),), BASELINE: (Round(1.0, (0.1, 0.1)),)}
    history_of_claims = History({1: {"claim": 0.001}, 2: {"claim": 0.003}})
    text = service.write(
        Results(Submissions(rounds), JobLatency((0.02,), (0.05,)), history_of_claims), tmp_path, "facts"
    )
    for line in (
        "| LIPE | 1 | 150.0 | 199.0 | 0.50 (0.50 to 0.50) |",
        "| from request to claim, worker idle | 20 (20 to 20) | below 50 (Redis), 250 (embedded) |",
        "| overhead of a job, queue full | 50 (50 to 50) | below 100 |",
        "| claim | 1.00 | 3.00 | 3.00 |",
    ):
        assert line in text
    assert (tmp_path / "table.md").read_text() == text


def test_the_long_history_must_be_longer(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        service.parse(["--few", "10", "--many", "10"])
    assert "--few must be less" in capsys.readouterr().err
