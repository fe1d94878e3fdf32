"""Recordings replay on new inputs and weights, and work that cannot be recorded runs as it is.

No CPU records a CUDA graph. `tape` replays the operations on the same memory, without Python, as a graph does.
"""

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lipe_core.graphs import Captured, Graphs, Tensors, copy_weights
from tests.support.tape import tape


def product(inputs: Tensors) -> Tensors:
    return {"c": inputs["a"] @ inputs["b"]}


def test_a_recording_serves_all_inputs_of_its_shape_and_the_last_ones_are_kept() -> None:
    recorded: list[int] = []

    def record(work: Callable[[], Tensors]) -> tuple[Callable[[], None], Tensors]:
        recorded.append(1)
        return tape()(work)

    graphs = Graphs(record=record, most=2)
    for rows in (1, 2, 1, 2, 3, 1):
        inputs = {"a": torch.randn(rows, 4), "b": torch.randn(4, 5)}
        assert torch.equal(graphs.run("product", product, inputs)["c"], inputs["a"] @ inputs["b"])
    assert len(recorded) == 4  # 1, 2 and 3 rows, and again 1 row, which 3 rows replaced
    graphs.run("another kind", product, inputs)
    assert len(recorded) == 5
    graphs.clear()
    graphs.run("another kind", product, inputs)
    assert len(recorded) == 6


def test_results_stay_when_the_recording_is_replayed() -> None:
    captured = Captured.of(lambda inputs: {"y": 2 * inputs["x"]}, {"x": torch.ones(2)}, tape())
    first = captured({"x": torch.tensor([1.0, 2.0])})["y"]
    assert captured({"x": torch.tensor([3.0, 4.0])})["y"].tolist() == [6.0, 8.0]
    assert first.tolist() == [2.0, 4.0]


def test_weights_that_are_overwritten_in_place_are_in_the_next_replay() -> None:
    weights = [torch.ones(3, 3), torch.ones(3, 3)]
    graphs = Graphs(weights, tape(*weights))
    x = {"x": torch.ones(1, 3)}

    def work(inputs: Tensors) -> Tensors:
        return {"y": inputs["x"] @ weights[0] @ weights[1]}

    assert graphs.run("", work, x)["y"].tolist() == [[9.0] * 3]
    copy_weights(weights, [torch.eye(3), 2 * torch.eye(3)])
    assert graphs.run("", work, x)["y"].tolist() == [[2.0] * 3]


def test_weights_at_another_place_are_recorded_anew() -> None:
    weight = torch.nn.Parameter(torch.ones(2, 2), requires_grad=False)
    graphs = Graphs([weight], lambda work: tape(weight.data)(work))

    def work(inputs: Tensors) -> Tensors:
        return {"y": inputs["x"] @ weight}

    assert graphs.run("", work, {"x": torch.ones(1, 2)})["y"].tolist() == [[2.0, 2.0]]
    weight.data = torch.eye(2)
    assert graphs.run("", work, {"x": torch.ones(1, 2)})["y"].tolist() == [[1.0, 1.0]]


OUTSIDE = torch.ones(3)


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        (lambda x: x * x.sum().item(), "makes the host wait"),
        (lambda x: x[x > 0], "wait|depends on content"),
        (lambda x: x + torch.tensor([1.0, 2.0, 3.0]), "copied from the host"),
        (lambda x: x + OUTSIDE, "another place"),
    ],
)
def test_work_that_a_graph_cannot_hold_runs_as_it_is_and_the_reason_is_kept(
    work: Callable[[Tensor], Tensor], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    graphs, x = Graphs(record=tape()), torch.tensor([1.0, 2.0, 3.0])
    for _ in range(2):
        assert torch.equal(graphs.run("", lambda inputs: {"y": work(inputs["x"])}, {"x": x})["y"], work(x))
    assert len(caplog.records) == 1
    assert re.search(reason, graphs.eager_because)


def test_without_a_gpu_the_work_runs_as_it_is() -> None:
    if torch.cuda.is_available():
        return
    graphs = Graphs()
    assert graphs.run("", lambda inputs: {"y": 2 * inputs["x"]}, {"x": torch.ones(2)})["y"].tolist() == [2.0, 2.0]
    assert "recording failed" in graphs.eager_because
