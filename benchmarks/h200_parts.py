"""The sections of `benchmarks.h200`. Milliseconds are medians of the wall clock with the device's queue included."""

import copy
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any
from unittest.mock import patch

import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D
from peft.tuners.lora import LoraLayer
from torch import Tensor

from benchmarks import sdxl_size
from benchmarks.editing import ATTENTION_RECORDERS, fresh_prior, request_of
from benchmarks.empty_data import training_data
from benchmarks.sdxl_size import Scale
from lipe_core import base_models, sdxl
from lipe_core.adapters import lora
from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.graphs import Graphs, copy_weights
from lipe_core.methods import masactrl
from lipe_core.methods.nima import edit as nima
from lipe_core.methods.nima.config import NimaConfig
from lipe_core.quantization import weight_bytes
from lipe_core.sdxl import BaseModel
from lipe_core.training import train
from lipe_core.training.config import PriorConfig

_RANK = 16
_EIGHT_BITS = {"int8": torch.int8, "fp8": torch.float8_e4m3fn}
_KERNELS_EXPLAIN = 0.25
"""Seconds of kernels in one training step that would explain its wall time: then the host is not the limit."""


class Stop(Exception):
    """The next sections would measure the wrong thing."""


@dataclass(frozen=True)
class Bench:
    """The scale, the device, and `say(what, **facts)`, which writes a line."""

    scale: Scale
    device: torch.device
    say: Callable[..., None]

    @property
    def is_gpu(self) -> bool:
        """Whether kernels, graphs and fp8 can be measured."""
        return self.device.type == "cuda"

    @property
    def dtype(self) -> torch.dtype:
        """The networks' precision."""
        return torch.bfloat16 if self.is_gpu else torch.float32

    def model(self) -> BaseModel:
        """New networks on the device."""
        return sdxl_size.model(self.scale, self.device, self.dtype)

    def wait(self) -> None:
        """Wait until the device has done all work."""
        if self.is_gpu:
            torch.cuda.synchronize()

    def ms(self, work: Callable[[], object], repeats: int = 10) -> float:
        """Median milliseconds of a call after two warm-ups; one call without a GPU."""
        repeats, times = repeats if self.is_gpu else 1, []
        for _ in range(2 if self.is_gpu else 0):
            work()
        self.wait()
        for _ in range(repeats):
            start = time.perf_counter()
            work()
            self.wait()
            times.append(1000 * (time.perf_counter() - start))
        return round(statistics.median(times), 3)


def inputs(bench: Bench, model: BaseModel, rows: int) -> tuple[Tensor, ...]:
    """Latents, timesteps and conditioning of so many rows."""
    side, width = (model.native_size,) * 2, int(model.unet.config.cross_attention_dim)
    pooled = model.text_encoders[1].config.projection_dim
    draw = partial(torch.randn, device=bench.device, dtype=bench.dtype)
    t = torch.full((rows,), 500, device=bench.device)
    latents = torch.randn(rows, *model.latent_shape(side), device=bench.device)
    return latents, t, draw(rows, 77, width), draw(rows, pooled), draw(rows, 6)


def forward(model: BaseModel, x_t: Tensor, t: Tensor, *conditioning: Tensor) -> Tensor:
    """The prediction, without gradients."""
    with torch.no_grad():
        return sdxl.predict(model, x_t, t, Conditioning(*conditioning))


def kernels(bench: Bench, work: Callable[[], object]) -> dict[str, Any]:
    """Number and summed milliseconds of the kernels of one call, and the longest ones; nothing without a GPU."""
    if not bench.is_gpu:
        return {}
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiled:
        work()
        bench.wait()
    events = [event for event in profiled.key_averages() if event.self_device_time_total > 0]
    longest = sorted(events, key=lambda event: -event.self_device_time_total)[:8]
    return {
        "kernels": sum(event.count for event in events),
        "kernel_ms": round(sum(event.self_device_time_total for event in events) / 1000, 2),
        "longest": {event.key[:60]: round(event.self_device_time_total / 1000, 2) for event in longest},
    }


@contextmanager
def training_step(model: BaseModel) -> Iterator[Callable[[], Tensor]]:
    """The function that makes LIPE's next training step, with one image of the subject and one of its class."""
    config, data, numbers = PriorConfig(rank=_RANK, alpha=_RANK), training_data(model).on(model), count()
    with lora.trainable_weights(model, "lora", rank=_RANK, alpha=_RANK, seed=0) as trainable:
        optimizer = train.new_optimizer(trainable.weights, {}, config)
        yield lambda: train.training_step(model, data, config, next(numbers), trainable, optimizer)


def with_graphs(model: BaseModel) -> tuple[BaseModel, Graphs]:
    """The same model with CUDA graphs, and these."""
    graphs = Graphs(tuple(model.unet.parameters()))
    return replace(model, graphs=graphs), graphs


def graphed(work: Callable[..., Tensor]) -> tuple[Callable[..., Tensor], Graphs]:
    """The function of tensors as CUDA graphs, and these."""
    graphs = Graphs()

    def run(*values: Tensor) -> Tensor:
        named = {str(number): value for number, value in enumerate(values)}
        return graphs.run("", lambda inputs: {"result": work(*inputs.values())}, named)["result"]

    return run, graphs


@contextmanager
def attention_by(kernel: str) -> Iterator[None]:
    """Context manager in which cuDNN's attention is preferred, or PyTorch chooses."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    preferred = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]
    with sdpa_kernel(preferred, set_priority=True) if kernel == "cudnn" else nullcontext():
        yield


def ceilings(bench: Bench) -> None:
    """The device's limits: microseconds of the host for a kernel, products, copies."""
    one, count = torch.zeros(1, device=bench.device), 20_000 if bench.is_gpu else 100
    start = time.perf_counter()
    for _ in range(count):
        one.add_(1.0)
    microseconds = (time.perf_counter() - start) / count * 1e6
    side = 8192 if bench.is_gpu else 256
    matrix = torch.randn(side, side, device=bench.device, dtype=bench.dtype)
    source = torch.empty(2**31 if bench.is_gpu else 2**20, device=bench.device, dtype=torch.uint8)
    target = torch.empty_like(source)
    bench.say(
        "ceilings", torch=torch.__version__, gpu=torch.cuda.get_device_name() if bench.is_gpu else "none",
        host_us_a_kernel=round(microseconds, 2),
        matmul_tflops=round(2e-9 * side**3 / bench.ms(lambda: matrix @ matrix), 1),
        copy_tb_s=round(2e-9 * source.numel() / bench.ms(lambda: target.copy_(source)), 3),
    )  # fmt: skip


def gradient(bench: Bench) -> None:
    """The gradient of the flat adapter compared with that of peft's layers."""
    model = bench.model()
    x_t, t, *conditioning = inputs(bench, model, 2)

    def backward() -> None:
        loss = sdxl.predict(model, x_t, t, Conditioning(*conditioning)).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]

    with lora.trainable_weights(model, "lora", rank=_RANK, alpha=_RANK, seed=0) as trainable:
        (master,) = trainable.weights.values()
        master.data.add_(torch.randn_like(master.data), alpha=0.01)
        trainable.publish()
        backward()
        trainable.collect()
        for layer in model.unet.modules():
            if isinstance(layer, LoraLayer):
                del layer.forward
        parameters = lora.adapter_parameters(model)
        for weight in parameters.values():
            weight.data = weight.data.to(bench.dtype).float()
            weight.requires_grad_(True)
        with torch.autocast(bench.device.type, bench.dtype, enabled=bench.is_gpu):
            backward()
        ours = trainable.parts("adapter", master.grad if master.grad is not None else torch.zeros_like(master))
        mine = torch.cat([matrix.flatten() for matrix in ours.values()])
        theirs = torch.cat([weight.grad.flatten() for weight in parameters.values() if weight.grad is not None])
        bench.say("flat gradient", relative_error=float((mine - theirs).norm() / theirs.norm()))


def eager(bench: Bench) -> None:
    """Wall time beside the summed time of the kernels. Raises Stop if the kernels alone explain the wall time."""
    model = bench.model()
    for rows in (1, 2):
        call = partial(forward, model, *inputs(bench, model, rows))
        bench.say("eager evaluation", rows=rows, wall_ms=bench.ms(call), **kernels(bench, call))
    with training_step(model) as step:
        found = {"wall_ms": bench.ms(step, 5), **kernels(bench, step)}
    peak = {"peak_gb": round(torch.cuda.max_memory_allocated() / 1e9, 1)} if bench.is_gpu else {}
    bench.say("eager training step", **found, **peak)
    if found.get("kernel_ms", 0) > 1000 * _KERNELS_EXPLAIN:
        raise Stop("the kernels alone take that long: see the longest ones")


def graphs(bench: Bench) -> None:
    """CUDA graphs of the training step and of an evaluation, by rows, attention kernel and memory format."""
    model = bench.model()
    for kernel in ("default", "cudnn") if bench.is_gpu else ("default",):
        recording, recorded = with_graphs(model)
        with recorded.only_inside(), training_step(recording) as step, attention_by(kernel):
            bench.say("graph of a training step", attention=kernel, ms=bench.ms(step, 20),
                      eager_because=recorded.eager_because)  # fmt: skip
    for layout in (torch.contiguous_format, torch.channels_last):
        model.unet.to(memory_format=layout)
        for rows, kernel in [(1, "default"), (2, "default"), (2, "cudnn"), (8, "default"), (8, "cudnn")]:
            if not bench.is_gpu and (rows > 1 or kernel == "cudnn"):
                continue
            values = inputs(bench, model, rows)
            wanted = forward(model, *values)
            with attention_by(kernel):
                run, recorded = graphed(partial(forward, model))
                error = (run(*values) - wanted).norm() / wanted.norm()
                bench.say("graph of an evaluation", rows=rows, attention=kernel, layout=str(layout),
                          ms=bench.ms(partial(run, *values), 20), relative_error=float(error),
                          eager_because=recorded.eager_because)  # fmt: skip


def compiled(bench: Bench) -> None:
    """`torch.compile` of each kind of block, cold and from its cache, alone and inside a graph."""
    if not bench.is_gpu:
        return bench.say("needs a GPU")
    for start in ("cold", "from cache"):
        torch._dynamo.reset()
        model = bench.model()
        for module in model.unet.modules():
            if isinstance(module, (BasicTransformerBlock, ResnetBlock2D)):
                module.compile(fullgraph=True, dynamic=False)
        values = inputs(bench, model, 2)
        begin = time.perf_counter()
        forward(model, *values)
        bench.wait()
        seconds = round(time.perf_counter() - begin, 1)
        run, recorded = graphed(partial(forward, model))
        bench.say("compiled evaluation", start=start, compile_s=seconds, ms=bench.ms(partial(forward, model, *values)),
                  graph_ms=bench.ms(partial(run, *values), 20), eager_because=recorded.eager_because)  # fmt: skip
    return None


def edits(bench: Bench) -> None:
    """Whole edits of one and four prompts beside MasaCtrl and stored maps; changing the prior; the VAE."""
    model, steps = bench.model(), 20 if bench.is_gpu else 1
    prior, config = fresh_prior(model, _RANK), NimaConfig(steps=steps, reconstruction_steps=1 + 2 * bench.is_gpu)
    first, four = request_of(model, 1), request_of(model, 4)
    if bench.is_gpu:
        nima.edit(model, first, replace(config, steps=1), prior=prior)
    requests = {"first prompt": first, "four prompts": four} if bench.is_gpu else {"first prompt": first}
    recording, recorded = with_graphs(model)
    for name, request in requests.items():
        for kind, each in {"": model, ", recording graphs": recording, ", replaying graphs": recording}.items():
            start = time.perf_counter()
            made = nima.edit(each, request, config, prior=prior)
            bench.wait()
            bench.say(f"an edit, {name}{kind}", seconds=round(time.perf_counter() - start, 3), stages=made[0].timings,
                      eager_because=recorded.eager_because if kind else "")  # fmt: skip
    recorded.clear()
    if bench.is_gpu:
        with patch("lipe_core.sdxl.attention.record_attention", ATTENTION_RECORDERS["stored maps"]):
            bench.say("an edit, stored maps", ms=bench.ms(lambda: nima.edit(model, first, config, prior=prior), 1))
    others = masactrl.MasaCtrlConfig(steps=steps, start_step=min(4, steps))
    bench.say("an edit by MasaCtrl", ms=bench.ms(lambda: masactrl.edit(model, first, others, prior=prior), 1))
    weights = list(lora.linear_weights(model).values())
    values = copy.deepcopy(weights)
    bench.say("a change of the prior's weights in place", ms=bench.ms(lambda: copy_weights(weights, values)))
    pixels = torch.randn(1, 3, model.native_size, model.native_size, device=bench.device)
    with torch.no_grad():
        latents = sdxl.encode_pixels(model, pixels)
        bench.say("VAE", encode_ms=bench.ms(lambda: sdxl.encode_pixels(model, pixels)),
                  decode_ms=bench.ms(lambda: sdxl.decode_pixels(model, latents)))  # fmt: skip


def weights(bench: Bench) -> None:
    """Evaluations and a training step with frozen weights in 8 bits, beside those with full weights."""
    model, rows = bench.model(), 2
    values = inputs(bench, model, rows)
    wanted = forward(model, *values)
    for kind in ("full", "int8", "fp8"):
        if kind != "full":
            model = bench.model()
            base_models.quantize_linear(model, _EIGHT_BITS[kind])
        error = (forward(model, *values) - wanted).norm() / wanted.norm()
        run, recorded = graphed(partial(forward, model))
        found = {"network_gb": round(weight_bytes(model.unet) / 1e9, 3), "relative_error": float(error)}
        if bench.is_gpu:
            torch.cuda.reset_peak_memory_stats()
        with training_step(model) as step:
            found |= {"step_ms": bench.ms(step, 5)}
        peak = {"peak_gb": round(torch.cuda.max_memory_allocated() / 1e9, 1)} if bench.is_gpu else {}
        bench.say("frozen weights", kind=kind, ms=bench.ms(partial(forward, model, *values)),
                  graph_ms=bench.ms(partial(run, *values)), eager_because=recorded.eager_because,
                  **found, **peak)  # fmt: skip


def fp8(bench: Bench) -> None:
    """Products of SDXL's shapes in bfloat16 and in fp8, each 20 times in a graph."""
    if not bench.is_gpu:
        return bench.say("needs a GPU")
    one, kind = torch.ones(1, device=bench.device), torch.float8_e4m3fn
    scaled = partial(torch._scaled_mm, scale_a=one, scale_b=one, out_dtype=bench.dtype)
    for m, n, k in ((2048, 1280, 1280), (2048, 10240, 1280), (2048, 1280, 5120), (8192, 640, 640), (16384, 1280, 1280)):
        x, w = (torch.randn(rows, k, device=bench.device, dtype=bench.dtype) for rows in (m, n))
        x8, w8 = x.to(kind), w.to(kind)
        half, _ = graphed(lambda x, w: [x @ w.T for _ in range(20)][-1])
        eighth, recorded = graphed(lambda x, w: [scaled(x, w.T) for _ in range(20)][-1])
        bench.say("a product", shape=[m, n, k], bf16_us=50 * bench.ms(partial(half, x, w)),
                  fp8_us=50 * bench.ms(partial(eighth, x8, w8)), eager_because=recorded.eager_because)  # fmt: skip
    return None
