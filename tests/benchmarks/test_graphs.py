"""Recordings replay on new inputs and weights, and what cannot be recorded runs as it is.

A GPU's graph holds addresses. Here a recording is stood in by a call of the same work on the same places.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.graphs import Graphed, copy_weights, cuda_graph


def again(work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    output = work()
    return lambda: (output.copy_(work()), None)[1], output


def test_a_recording_serves_all_inputs_of_its_shape() -> None:
    recorded: list[int] = []

    def record(work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        recorded.append(1)
        return again(work)

    graphed = Graphed(lambda a, b: a @ b, record, most=2)
    for rows in (1, 2, 1, 2, 3, 1):
        a, b = torch.randn(rows, 4), torch.randn(4, 5)
        assert torch.equal(graphed(a, b), a @ b)
    assert len(recorded) == 4  # 1, 2 and 3 rows, and again 1 row, which 3 rows replaced


def test_weights_that_are_overwritten_in_place_are_in_the_next_replay() -> None:
    weights = [torch.ones(3, 3), torch.ones(3, 3)]
    graphed = Graphed(lambda x: x @ weights[0] @ weights[1], again)
    x = torch.ones(1, 3)
    assert graphed(x).tolist() == [[9.0] * 3]
    copy_weights(weights, [torch.eye(3), 2 * torch.eye(3)])
    assert graphed(x).tolist() == [[2.0] * 3]


def test_without_a_gpu_the_work_runs_as_it_is_and_the_reason_is_kept() -> None:
    if torch.cuda.is_available():
        return
    graphed = Graphed(lambda x: 2 * x, cuda_graph)
    assert graphed(torch.ones(2)).tolist() == [2.0, 2.0]
    assert "recording failed" in graphed.eager_because
