"""Compiled regions: the same predictions, no compiling after the first work, and eager calls where it fails."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from lipe_core import sdxl
from lipe_core.compiled import CompiledRegions, cannot_compile
from lipe_core.masks.recording import attention_maps, encode_prompts
from lipe_core.subject import Subject


@dataclass
class CountingBackend:
    """A compiler that changes nothing. It counts what it compiled, and how often that ran."""

    compiled: int = 0
    ran: int = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: Any) -> Any:
        self.compiled += 1

        def run(*values: Any) -> Any:
            self.ran += 1
            return graph.forward(*values)

        return run


@dataclass
class Compiled:
    """Two regions that are compiled for one and for two rows, and results of before."""

    regions: CompiledRegions
    backend: CountingBackend
    eager: list[Tensor]
    maps: Tensor


CALLS = [(1, (32, 32)), (2, (32, 32)), (5, (24, 40))]


@pytest.fixture(scope="module")
def compiled(model: sdxl.BaseModel) -> Iterator[Compiled]:
    """One region of each class."""
    backend = CountingBackend()
    made = Compiled(
        CompiledRegions(one_of_each_class(model), backend),
        backend,
        [predict(model, *call) for call in CALLS],
        maps_of(model),
    )
    made.regions.compile(lambda: warm_up(model))
    yield made
    made.regions.undo()


def one_of_each_class(model: sdxl.BaseModel) -> list[Any]:
    """Few regions, because compiling all takes too long."""
    return list({type(region): region for region in model.regions}.values())


def maps_of(model: sdxl.BaseModel) -> Tensor:
    """The maps of the subject's words."""
    prompts = encode_prompts(model, ["a photo of sks dog"], Subject("sks", "dog"), (64, 64))
    noise = torch.randn(1, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    return attention_maps(model, prompts, noise, torch.tensor([500]), refine=1)


def predict(model: sdxl.BaseModel, rows: int, sides: tuple[int, int] = (32, 32)) -> Tensor:
    """The network's prediction for noise of so many rows."""
    conditioning = model.encode_prompt(["a photo of sks dog"] * rows, size=(64, 64))
    noise = torch.randn(rows, 4, *sides, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return model.predict(noise, torch.full((rows,), 500), conditioning)


def warm_up(model: sdxl.BaseModel) -> None:
    """Calls with one and with two rows."""
    for rows in (1, 2):
        predict(model, rows)


def test_a_later_call_compiles_nothing_whatever_its_rows_and_sides(model: sdxl.BaseModel, compiled: Compiled) -> None:
    regions, backend = compiled.regions, compiled.backend
    assert regions.eager_because == ""
    count, ran = backend.compiled, backend.ran
    assert count == 2 * len(regions.regions)  # one row, and more rows
    for call, expected in zip(CALLS, compiled.eager, strict=True):
        assert torch.equal(predict(model, *call), expected)
    assert backend.compiled == count
    assert backend.ran - ran >= len(CALLS) * len(regions.regions)  # others with weights of their sizes run it, too


def test_a_call_of_another_kind_is_eager(compiled: Compiled) -> None:
    """Nothing with gradients was compiled."""
    region = next(region for region in compiled.regions.regions if type(region).__name__ == "FeedForward")
    counts = compiled.backend.compiled, compiled.backend.ran
    x = torch.ones(1, 4, region.net[0].proj.in_features, requires_grad=True)
    region(x).sum().backward()
    assert x.grad is not None
    assert (compiled.backend.compiled, compiled.backend.ran) == counts


def test_attention_is_recorded_from_a_compiled_network(model: sdxl.BaseModel, compiled: Compiled) -> None:
    ran = compiled.backend.ran
    assert torch.equal(maps_of(model), compiled.maps)
    assert compiled.backend.ran - ran >= len(compiled.regions.regions)


class Doubled(torch.nn.Module):
    """A region."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


def test_a_compiler_that_fails_leaves_the_network_as_it_was() -> None:
    def fail(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("the compiler has no idea")

    region, x = Doubled(), torch.ones(1, 2)
    regions, before = CompiledRegions([region], fail), region(x)
    try:
        regions.compile(lambda: region(x))
        assert "compiling failed" in regions.eager_because
        assert "the compiler has no idea" in regions.eager_because
        assert torch.equal(region(x), before)
    finally:
        regions.undo()


def test_a_network_without_regions_says_so() -> None:
    regions = CompiledRegions(())
    regions.compile(lambda: pytest.fail("there is nothing to compile"))
    assert "no regions" in regions.eager_because


def test_what_keeps_a_machine_from_compiling_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "sh")  # a program that exists
    assert cannot_compile(tmp_path / "compiled") == ""
    assert (tmp_path / "compiled").is_dir()
    (tmp_path / "file").touch()
    assert "cannot be made" in cannot_compile(tmp_path / "file" / "compiled")
    with monkeypatch.context() as mounted:
        mounted.setattr(os, "statvfs", lambda folder: SimpleNamespace(f_flag=os.ST_NOEXEC))
        assert "noexec" in cannot_compile(tmp_path)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX")
    assert "install g++" in cannot_compile(tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of the compiler
def test_the_compiler_of_torch_gives_the_same_predictions(
    model: sdxl.BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reason := cannot_compile(tmp_path):
        pytest.skip(reason)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    eager, regions = predict(model, 2), CompiledRegions(one_of_each_class(model))
    try:
        regions.compile(lambda: warm_up(model))
        assert regions.eager_because == ""
        torch.testing.assert_close(predict(model, 2), eager, rtol=1e-4, atol=1e-5)
    finally:
        regions.undo()
