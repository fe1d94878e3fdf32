"""SDXL at its own size with random weights, through LIPE's own functions: `make test-true-size`, not in CI.

Each part is a process of its own, whose peak of resident memory must stay under 12 GB. At the true depth, bfloat16
fits with a LoRA. What does not fit is tested at the true width and a smaller depth: float32 takes 14 GB of weights, and
full attention tuning takes 16 bytes for each of 955 million weights. float16 is slow on a CPU, which has no
instructions for it, so that only one prediction of 64 pixels is made.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from benchmarks.measure import run_measured
from lipe_core.adapters.lora import Tuning
from tests.true_size.vocabulary import SIZE

pytestmark = pytest.mark.slow

MOST_MB = 12_000
DEPTHS = {"float32": 4, "full_attention": 3}
"""The depths of what does not fit at the true one."""
PARAMETERS = 2_567_463_684
"""Of SDXL's UNet, as published."""
OUT = Path("out/true-size")

Checkpoint = Callable[[int], Path]
Show = Callable[[str, dict[str, Any]], None]


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    """Writes the checkpoint of a depth, once. The folder is replaced by the next run."""
    shutil.rmtree(OUT, ignore_errors=True)

    def write(depth: int) -> Path:
        folder = OUT / f"sdxl-{depth}"
        if not folder.exists():
            measured = run_measured("tests.true_size.work", "write", "--checkpoint", str(folder), "--depth", str(depth))
            assert measured["peak_mb"] < MOST_MB
        return folder

    return write


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str]) -> Show:
    """Prints what was measured, and checks the memory."""

    def check(name: str, measured: dict[str, Any]) -> None:
        with capsys.disabled():
            print(f"\n{name}: {measured}", flush=True)
        assert measured["peak_mb"] < MOST_MB

    return check


def run(part: str, folder: Path, *options: str) -> dict[str, Any]:
    return run_measured("tests.true_size.work", part, "--checkpoint", str(folder), *options)


@pytest.mark.parametrize(("dtype", "vae"), [("bfloat16", "bfloat16"), ("float16", "float32"), ("float32", "float32")])
def test_a_checkpoint_is_checked_loaded_and_predicts(checkpoint: Checkpoint, show: Show, dtype: str, vae: str) -> None:
    depth = DEPTHS.get(dtype, 10)
    side = "64" if dtype == "float16" else "256"
    loaded = run("load", checkpoint(depth), "--dtype", dtype, "--side", side)
    show(f"load, {dtype}, depth {depth}, one prediction at {side} pixels", loaded)
    assert (loaded["dtype"], loaded["vae_dtype"]) == (f"torch.{dtype}", f"torch.{vae}")
    assert loaded["is_finite"]
    assert loaded["vocabulary"] == SIZE
    assert depth < 10 or loaded["parameters"] == PARAMETERS


@pytest.mark.parametrize("tuning", get_args(Tuning))
def test_a_training_step_of_each_tuning(checkpoint: Checkpoint, show: Show, tuning: str) -> None:
    depth = DEPTHS.get(tuning, 10)
    folder = checkpoint(depth)
    trained = run("train", folder, "--tuning", tuning, "--prior", str(folder / f"prior-{tuning}"))
    show(f"one training step, {tuning}, bfloat16, depth {depth}, 256 pixels", trained)
    assert trained["loss"] > 0
    assert trained["changed"] == trained["tensors"]


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_an_edit_in_two_passes(checkpoint: Checkpoint, show: Show, dtype: str) -> None:
    depth = DEPTHS.get(dtype, 10)
    folder = checkpoint(depth)
    prior = folder / "prior-lora"
    if not prior.exists():
        run("train", folder, "--dtype", dtype, "--prior", str(prior))
    edited = run("edit", folder, "--dtype", dtype, "--prior", str(prior))
    show(f"edit in two passes, {dtype}, depth {depth}, 256 pixels", edited)
    assert edited["size"] == [256, 256]
    assert edited["changed_outside"] == 0
    assert edited["changed_inside"] > 0.5
