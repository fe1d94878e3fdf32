"""Measure a training and an edit at the size of klein base 4B: ``python -m benchmarks.flux2_scale --device cuda``.

The networks have random weights, which are made on the device. Each phase of a job is measured by itself: the prompts
with the text encoder on the device, a training and an edit without it. On a CPU use less than the full size: --double,
--single, --heads, --text-width and --side.
"""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from benchmarks import flux2_random
from benchmarks.editing import fresh_prior, request_of
from benchmarks.flops import matmul_ceiling
from benchmarks.flux2_random import Scale
from benchmarks.measure import ResourceMonitor
from benchmarks.training import INSTANCE, prepare, samples
from lipe_core.methods.nima import edit as nima
from lipe_core.recipe import load_recipe
from lipe_core.recipes import FLUX2
from lipe_core.training import dataset, train

_PROMPTS = 4
_GB = 1024**2 / 1e9
"""Gigabytes of a MB of `ResourceMonitor`."""


@dataclass
class Phase:
    """A part of a job: its seconds, the GB in use before it, and at its peak."""

    name: str
    seconds: float = 0.0
    start_gb: float = 0.0
    peak_gb: float = 0.0


class Measurement:
    """The phases in their order, on one device."""

    def __init__(self, device: str) -> None:
        self.monitor = ResourceMonitor(device)
        self.phases: list[Phase] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[Phase]:
        """Measure the block."""
        phase = Phase(name, start_gb=self.monitor.reset_peak() * _GB)
        start = self.monitor.clock()
        yield phase
        phase.seconds = self.monitor.clock() - start
        phase.peak_gb = self.monitor.peak_mb() * _GB
        self.phases.append(phase)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The phases, the network's evaluations of the edit, FLOPs, and seconds of a training step."""
    scale = Scale(options.double, options.single, options.heads, options.text_width, options.side)
    dtype, device = getattr(torch, options.dtype), torch.device(options.device)
    measurement, recipe = Measurement(options.device), load_recipe("random", FLUX2)
    with measurement.phase("networks"):
        model = flux2_random.model(scale, device, dtype)
    with measurement.phase("prompts"):
        model.encode_prompt([INSTANCE] * _PROMPTS, size=(scale.side, scale.side))
    if not options.keep_text_encoder:
        model.text_encoder.to("cpu")
    changes = {"steps": options.steps, "compute_dtype": options.dtype}
    with TemporaryDirectory() as folder:
        data = prepare(model, Path(folder))
        identity = dataset.encode(model, samples(data / "references", INSTANCE))
        regularization = dataset.load(data / "regularization.safetensors")
    times: list[float] = []
    hook = register_optimizer_step_post_hook(lambda *_: times.append(measurement.monitor.clock()))
    with measurement.phase("training"):
        train.train_adapter(model, identity, regularization, recipe.prior_config("animal", changes))
    hook.remove()
    prior, request = fresh_prior(model, recipe.prior_config("animal").rank), request_of(model, 1)
    encodings: list[int] = []
    counter = model.text_encoder.model.register_forward_hook(lambda *_: encodings.append(1))
    with measurement.phase("edit"):
        (edit,) = nima.edit(model, request, recipe.method_config("nima", {"steps": options.edit_steps}), prior=prior)
    counter.remove()
    evaluation, step = flux2_random.flops(scale)
    return {
        "scale": asdict(scale), "is_full": scale.is_full, "device": options.device, "dtype": options.dtype,
        "phases": [asdict(phase) for phase in measurement.phases],
        "seconds_per_step": (times[-1] - times[0]) / (len(times) - 1), "evaluations": edit.evaluations,
        "encodings": len(encodings), "keeps_text_encoder": options.keep_text_encoder,
        "flops_of_an_evaluation": evaluation, "flops_of_a_step_of_one_row": step,
        "ceiling": matmul_ceiling(options.device, dtype),
    }  # fmt: skip


def report(found: dict[str, Any]) -> str:
    """The measurements as Markdown."""
    size = "klein base 4B" if found["is_full"] else f"a smaller klein, {found['scale']}"
    lines = [
        f"# {size}, random weights, {found['device']}, {found['dtype']}", "",
        "| phase | seconds | GB before | GB at the peak |", "|---|---|---|---|",
        *(
            f"| {phase['name']} | {phase['seconds']:.2f} | {phase['start_gb']:.2f} | {phase['peak_gb']:.2f} |"
            for phase in found["phases"]
        ),
        "",
        f"- A training step takes {found['seconds_per_step']:.3f} s.",
        f"- The edit has {found['evaluations']} network evaluations and encodes prompts {found['encodings']} times"
        + ("." if found["keeps_text_encoder"] else ": the text encoder moves to the device once for them."),
        f"- One evaluation of one row: {found['flops_of_an_evaluation'] / 1e12:.3g} TFLOP; "
        f"with gradients: {found['flops_of_a_step_of_one_row'] / 1e12:.3g} TFLOP.",
        f"- The fastest matrix product has {found['ceiling'] / 1e12:.3g} TFLOP/s.",
    ]  # fmt: skip
    return "\n".join([*lines, ""])


def main(argv: list[str] | None = None) -> None:
    options = parse(argv)
    found = measure(options)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "klein.json").write_text(json.dumps(found, indent=2) + "\n")
    (options.out / "klein.md").write_text(report(found))
    print(report(found))


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flux2_scale", description=__doc__)
    full = Scale()
    parser.add_argument("--double", type=int, default=full.double, help="double-stream blocks")
    parser.add_argument("--single", type=int, default=full.single, help="single-stream blocks")
    parser.add_argument("--heads", type=int, default=full.heads, help="attention heads of 128 channels")
    parser.add_argument("--text-width", type=int, default=full.text_width, help="channels of the text encoder")
    parser.add_argument("--side", type=int, default=full.side, help="side of the images in pixels")
    parser.add_argument("--steps", type=int, default=12, help="steps of the training, at least 2")
    parser.add_argument("--edit-steps", type=int, default=20, help="steps of the edit")
    parser.add_argument("--keep-text-encoder", action="store_true", help="leave the text encoder on the device")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16"), default=None, help="default: bfloat16 on a GPU, float32 on a CPU"
    )
    parser.add_argument("--out", type=Path, default=Path("out/klein"), help="output folder")
    options = parser.parse_args(argv)
    options.dtype = options.dtype or ("bfloat16" if torch.device(options.device).type == "cuda" else "float32")
    if options.steps < 2:
        parser.error("--steps must be at least 2: the first step is the warm-up")
    return options


if __name__ == "__main__":
    main()
