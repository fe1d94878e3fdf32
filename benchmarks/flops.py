"""Count the FLOPs of a network and measure the device's maximum: ``python -m benchmarks.flops ...``.

Model FLOPs are the multiplications and additions of forward and backward pass, independent of the kernels.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.training import samples
from lipe_core import sdxl
from lipe_core.adapters import lora
from lipe_core.sdxl import BaseModel
from lipe_core.training import dataset, train
from lipe_core.training.batches import TrainingData
from lipe_core.training.config import PriorConfig

_SIDES = {"cuda": (8192, 16384), "cpu": (1024, 2048)}
_SECONDS = 1.0


def counted(work: Callable[[], object]) -> int:
    """The FLOPs of one call. Fused attention counts as its two matrix products."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def evaluation(model: BaseModel) -> int:
    """FLOPs of one network evaluation of one row at the network's own size, without an adapter."""
    cond = sdxl.encode_prompt(model, ["a photo of sks dog"], size=(model.native_size,) * 2)
    x_t = torch.randn(1, *model.latent_shape((model.native_size,) * 2), device=model.device)
    denoise = sdxl.denoiser(model, cond)
    return counted(lambda: denoise(x_t, 500))


def training_step(model: BaseModel, data: Path, config: PriorConfig) -> int:
    """FLOPs of one training step of a LoRA, forward and backward."""
    identity = dataset.encode(model, samples(data / "references", "a photo of sks dog"))
    regularization = dataset.load(data / "regularization.safetensors")
    empty = sdxl.encode_prompt(model, [""], size=(model.native_size,) * 2)
    with lora.trainable_weights(model, "lora", rank=config.rank, alpha=config.alpha, seed=0) as trainable:
        optimizer = train.new_optimizer(trainable.weights, {}, config)
        step_data = TrainingData(identity, regularization, empty).on(model)
        return counted(lambda: train.training_step(model, step_data, config, 0, trainable, optimizer))


def matmul_ceiling(device: str, dtype: torch.dtype) -> float:
    """FLOPs per second of the fastest square matrix product. Each size is measured for a second."""
    kind, best = torch.device(device).type, 0.0
    for side in _SIDES[kind]:
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        product = partial(torch.matmul, a, b)
        _seconds(product, kind)
        start = time.perf_counter()
        while time.perf_counter() - start < _SECONDS:
            best = max(best, 2 * side**3 / _seconds(product, kind))
    return best


def _seconds(work: Callable[[], object], kind: str) -> float:
    """Seconds of one call: from CUDA events on a GPU, CPU time of this thread on a CPU."""
    if kind != "cuda":
        start = time.thread_time()
        work()
        return time.thread_time() - start
    start_event, end_event = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    start_event.record()
    work()
    end_event.record()
    end_event.synchronize()
    return float(start_event.elapsed_time(end_event)) / 1000


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flops", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder that `training.prepare` wrote")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args(argv)
    dtype = getattr(torch, options.dtype)
    model = sdxl.load(options.checkpoint, device=options.device, dtype=dtype)
    config = PriorConfig(
        batch_size=options.batch, preservation_batch_size=options.batch, rank=options.rank,
        compute_dtype=options.dtype,
    )  # fmt: skip
    figures = {
        "evaluation": evaluation(model),
        "training_step": training_step(model, options.data, config),
        "ceiling": matmul_ceiling(options.device, dtype),
    }
    options.json.write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
