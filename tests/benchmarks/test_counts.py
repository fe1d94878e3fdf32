"""The counts of a step and an edit stay within their bounds, at SDXL's width and a tenth of its depth."""

from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

import pytest
import torch

from benchmarks import counts as benchmark
from benchmarks.counts import BOUNDS, edit_calls, edit_loops, network_call
from benchmarks.empty_data import conditioning
from benchmarks.h200_parts import training_step
from benchmarks.meta_device import META, Counts, as_gpu, counted, meta_model
from benchmarks.sdxl_size import Scale
from lipe_core.graphs import Graphs, Tensors
from lipe_core.methods.source_features import SourceFeatures
from lipe_core.sdxl import BaseModel


@pytest.fixture(scope="module")
def model() -> BaseModel:
    return meta_model(Scale(depth=1))


def test_each_kind_of_operation_is_counted_as_what_it_is() -> None:
    weight = torch.empty(4, 16, device=META)

    def work() -> None:
        y = torch.ones(8, 16).to(META) @ weight.t()  # an upload, a view and a product
        table = torch.empty(4, device=META)[torch.tensor([1, 2])]  # an upload of the indices
        if (y.sum() + table.sum()).item() > 0:  # three kernels and a wait
            y.cpu()  # a wait

    counts = counted(work)
    assert counts.waits == {"_local_scalar_dense": 1, "_to_copy": 1}
    assert counts.uploads == {"_to_copy": 1, "index": 1}
    assert counts.kernels == {"_to_copy": 1, "mm": 1, "index": 1, "sum": 2, "add": 1}
    assert (counts.views, counts.flops) == (1, {"gemm": 2 * 8 * 16 * 4})


def test_attention_is_one_kernel_and_two_products() -> None:
    q, k = torch.empty(1, 2, 16, 64, device=META), torch.empty(1, 2, 4, 64, device=META)
    counts = counted(lambda: torch.nn.functional.scaled_dot_product_attention(q, k, k))
    assert counts.kernels.total() == 1
    assert counts.flops == {"attention": 2 * 2 * (2 * 16 * 4 * 64)}


def test_a_training_step_waits_for_nothing_and_has_few_kernels(model: BaseModel) -> None:
    counts, peak = benchmark.training_step(model)
    assert counts.waits.total() == BOUNDS["waits of a training step"] == 0
    assert counts.kernels.total() < 1600  # diffusers' step: 2274; the bound at the true depth is 7500 of its 11596
    assert counts.views < 1950  # diffusers' step: 3200
    assert 1e9 < peak < 1e9 * BOUNDS["peak of a training step, GB"]


def test_the_work_that_a_graph_records_waits_for_nothing_and_copies_nothing_from_the_host(model: BaseModel) -> None:
    recorded: list[Counts] = []

    def record(work: Callable[[], Tensors]) -> NoReturn:
        recorded.append(counted(work))
        raise RuntimeError("this device records nothing")

    def with_graphs() -> BaseModel:
        return replace(model, graphs=Graphs(record=record))

    training, inverting, editing = with_graphs(), with_graphs(), with_graphs()
    with as_gpu(), training_step(training) as step:
        step()
    features, x_t = SourceFeatures(latest=500), torch.empty(1, *model.latent_shape((1024, 1024)), device=META)
    with as_gpu(), features.recorded(model):
        features.network(inverting)(conditioning(model, 1, META))(x_t, 500)
    with as_gpu(), features.used(model):
        features.network(editing)(conditioning(model, 2, META))(torch.cat([x_t, x_t]), 500)
    assert len(recorded) == 3
    for counts in recorded:
        assert counts.kernels
        assert not counts.waits
        assert not counts.uploads


def test_the_loops_of_an_edit_wait_for_nothing_and_recording_costs_little(model: BaseModel) -> None:
    assert not edit_loops(model, steps=2).waits
    bare, calls = network_call(model), dict(edit_calls(model))
    added = calls["attention recorded"].dispatches / bare.dispatches - 1
    assert added < 0.16  # a fixed number of operations: 0.05 at the true depth
    for name in ("inversion, features recorded", "guided, without features"):
        assert calls[name].dispatches < 1.03 * bare.dispatches
