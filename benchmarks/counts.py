"""Count what SDXL costs at its true size, on a CPU in a minute: ``python -m benchmarks.counts``.

The networks are on the meta device (`meta_device`). Counted are FLOPs beside the least that the method needs, kernels,
views, places where the host waits for the device, uploads and peak memory: of a training step, of the network's calls
of an edit, and of the same work by diffusers. A line is JSON; the last one names the bounds that are missed.
"""

import argparse
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from PIL import Image

from benchmarks import diffusers_counterparts as counterparts
from benchmarks.empty_data import conditioning, training_data
from benchmarks.live_memory import peak_bytes
from benchmarks.meta_device import META, Counts, DeviceCounter, as_gpu, counted, meta_model, weights
from benchmarks.sdxl_size import Scale
from lipe_core import sdxl
from lipe_core.adapters import lora
from lipe_core.diffusion.ddim import invert, sample
from lipe_core.diffusion.guidance import EvaluationCounter
from lipe_core.masks.localization import SubjectFinder
from lipe_core.masks.recording import encode_prompts, recording_denoiser
from lipe_core.methods.nima import edit as nima
from lipe_core.methods.nima.config import NimaConfig
from lipe_core.methods.request import EditRequest
from lipe_core.methods.session import EditSession
from lipe_core.methods.source_features import SourceFeatures, latest_lookup
from lipe_core.sdxl import BaseModel
from lipe_core.subject import Subject
from lipe_core.training import train
from lipe_core.training.config import PriorConfig

_T = 500
_SUBJECT = Subject("sks", "dog")
_PROMPT = "a photo of sks dog sitting"
_RANK = 16

BOUNDS = {
    "training FLOPs over the least": 1.1,
    "kernels of a training step": 7500,
    "waits of a training step": 0,
    "peak of a training step, GB": 12.0,
    "edit FLOPs over the least": 1.1,
    "dispatches that recording adds": 0.05,
    "waits of an edit's loops": 0,
}
"""The most that each figure may be, at SDXL's true size."""


def network_call(model: BaseModel, rows: int = 1) -> Counts:
    """One call of the network alone."""
    x_t = torch.empty(rows, *model.latent_shape((model.native_size,) * 2), device=META)
    return counted(partial(sdxl.denoiser(model, conditioning(model, rows, META)), x_t, _T))


def edit_calls(model: BaseModel) -> Iterator[tuple[str, Counts]]:
    """The calls of one edit: inversion, guided with and without the source's features, and recorded.

    Each is counted when its denoiser has been called before, as all but the first of a loop.
    """
    size = (model.native_size,) * 2
    x_t = torch.empty(1, *model.latent_shape(size), device=META)
    features, both = SourceFeatures(latest=_T), torch.cat([x_t, x_t])
    invert = features.at_timestep(sdxl.denoiser(model, conditioning(model, 1, META)))
    guided = features.at_timestep(sdxl.denoiser(model, conditioning(model, 2, META)))
    with features.recorded(model):
        invert(x_t, _T)
        yield "inversion, features recorded", counted(partial(invert, x_t, _T))
    with features.used(model):
        guided(both, _T)
        yield "guided, features read", counted(partial(guided, both, _T))
        yield "guided, without features", counted(partial(guided, both, _T + 1))
    prompts = encode_prompts(model, [_PROMPT], _SUBJECT, size)
    with recording_denoiser(model, prompts, 1.0, attention_tokens=256, refine=3) as denoiser:
        yield "attention recorded", counted(partial(denoiser.denoise_and_record, x_t, _T))


def edit_flops(calls: dict[str, Counts], bare: Counts, steps: int = 20) -> dict[str, float]:
    """TFLOP of the network in a whole edit of one prompt, and the least: its evaluations by the bare network."""
    config = NimaConfig(steps=steps)
    unshared, reading = nima.unshared_steps(config), round((1 - config.source_attention_start) * steps)
    guided_calls = steps + unshared
    guided_reading = reading + unshared  # the second pass repeats steps that read
    flops = {name: counts.flops.total() / 1e12 for name, counts in calls.items()}
    one, maps, recorded = bare.flops.total() / 1e12, 2 * 13, 2 * 5
    total = (
        steps * flops["inversion, features recorded"]
        + guided_reading * flops["guided, features read"]
        + (guided_calls - guided_reading) * flops["guided, without features"]
        + recorded * flops["attention recorded"]
        + (maps - recorded) * one
    )
    evaluations = steps + 2 * guided_calls + maps
    return {"evaluations": evaluations, "tflop": round(total, 1), "least_tflop": round(evaluations * one, 1)}


def edit_loops(model: BaseModel, steps: int = 4) -> Counts:
    """The loops of an edit, without its search for the subject, encoding and decoding."""
    image = Image.new("RGB", (model.native_size,) * 2)
    request = EditRequest(image, "a photo of sks dog", (_PROMPT,), _SUBJECT)
    session = EditSession.of(model, request, None, keeps_token=True)
    timesteps = model.schedule.leaning_timesteps(steps, 2.0)
    features, schedule = SourceFeatures(latest_lookup(timesteps, 0.3)), model.schedule
    x_0 = torch.empty(1, *model.latent_shape(session.size), device=META)
    target = session.encode([_PROMPT])
    inversion = features.network(model)(session.encode([_PROMPT]).cond)
    denoise = features.at_timestep(session.guided(target, 2.0, EvaluationCounter()))
    progress: list[int] = []

    def on_step(step: int, steps: int) -> None:
        progress.append(step)

    def loops() -> None:
        with features.recorded(model):
            trajectory = invert(inversion, schedule, x_0, timesteps, on_step=on_step)
        with features.used(model):
            x_t = sample(denoise, schedule, trajectory.x_T, timesteps[2:], on_step=on_step)
            nima.denoise_blended(denoise, schedule, x_t, trajectory.until(2), torch.ones_like(x_0[:, :1]), on_step)

    return counted(loops)


def search(model: BaseModel) -> Counts:
    """The network's part of one search for the subject."""
    x_0 = torch.empty(1, *model.latent_shape((model.native_size,) * 2), device=META)
    return counted(lambda: SubjectFinder(model, _SUBJECT).base_map(x_0, [_PROMPT]))


def training_step(model: BaseModel) -> tuple[Counts, int]:
    """LIPE's second step with one image of the subject and one of its class, and the peak of the training in bytes."""
    config, found = PriorConfig(rank=_RANK, alpha=_RANK), Counts()

    def steps() -> None:
        data = training_data(model).on(model)
        with lora.trainable_weights(model, "lora", rank=_RANK, alpha=_RANK, seed=0) as trainable:
            optimizer = train.new_optimizer(trainable.weights, {}, config)
            train.training_step(model, data, config, 0, trainable, optimizer)
            with DeviceCounter(found):
                train.training_step(model, data, config, 1, trainable, optimizer)

    with as_gpu():
        peak = peak_bytes(steps, weights(model))
    return found, peak


def diffusers_step(model: BaseModel, *, with_vae: bool) -> Counts:
    """The second step of diffusers' example."""
    with counterparts.lora_training_step(model, rank=_RANK, with_vae=with_vae) as step:
        counted(step)
        return counted(step)


def sampling_step(model: BaseModel) -> dict[str, float]:
    """The counts of one more step of diffusers' pipeline, by name."""
    few, many = (counted(partial(counterparts.sampling, model, steps)).summary() for steps in (2, 3))
    return {name: round(many[name] - few[name], 2) for name in few}


def least_training_flops(bare: Counts, rows: int = 2) -> float:
    """FLOPs of forward pass and gradients of all inputs; weights are frozen, and the adapter costs nothing.

    Attention's gradient is four products beside the two of its forward pass, of which fused kernels compute one again.
    A step can need a little less: what lies before the first attention layer needs no gradient.
    """
    products = bare.flops["gemm"] + bare.flops["convolution"]
    return rows * (2.0 * products + 3.5 * bare.flops["attention"])


def report(scale: Scale) -> Iterator[dict[str, Any]]:
    """All counts, one line each, and at the end the figures that have bounds."""
    model = meta_model(scale)
    bare = network_call(model)
    yield {"what": "network, one row", **bare.summary()}
    ours, peak = training_step(model)
    yield {"what": "training step", **ours.summary(), "peak_gb": round(peak / 1e9, 2)}
    for with_vae in (True, False):
        name = f"diffusers' training step{'' if with_vae else ', latents given'}"
        yield {"what": name, **diffusers_step(model, with_vae=with_vae).summary()}
    calls = dict(edit_calls(model))
    for name, counts in calls.items():
        yield {"what": f"edit: {name}", **counts.summary()}
    yield {"what": "diffusers' pipeline, a step", **sampling_step(model)}
    whole, loops = edit_flops(calls, bare), edit_loops(model)
    yield {"what": "edit, 20 steps", **whole}
    for name, counts in (("loops of 4 steps", loops), ("search for the subject", search(model))):
        yield {"what": f"edit: {name}", **counts.summary()}
    figures = {
        "training FLOPs over the least": ours.flops.total() / least_training_flops(bare),
        "kernels of a training step": ours.kernels.total(),
        "waits of a training step": ours.waits.total(),
        "peak of a training step, GB": peak / 1e9,
        "edit FLOPs over the least": whole["tflop"] / whole["least_tflop"],
        "dispatches that recording adds": calls["attention recorded"].dispatches / bare.dispatches - 1,
        "waits of an edit's loops": loops.waits.total(),
    }
    missed = [name for name, value in figures.items() if value > BOUNDS[name]]
    yield {"what": "bounds", **{name: round(value, 3) for name, value in figures.items()}, "missed": missed}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.counts", description=__doc__)
    parser.add_argument("--depth", type=int, default=10, help="transformer layers of the deepest level")
    options = parser.parse_args(argv)
    for line in report(Scale(depth=options.depth)):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
