"""What LIPE_COMPILE costs and gives on this machine: ``python -m benchmarks.compiled_edits``.

Two processes compile the network for edits, the first one without compiled code and the second one with that of the
first. Each then makes edits, compiled and eager in turns. Seconds of compiling are those of a clock, and seconds of
edits those of the process's CPU time.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import torch
from PIL import Image

from lipe_core import base_models, precision
from lipe_core.backbone import BaseModel
from lipe_core.compiled import CompiledRegions
from lipe_core.methods.registry import METHODS
from lipe_core.methods.request import EditRequest
from lipe_core.recipe import load_recipe
from lipe_core.subject import Subject

ROUNDS = 3
PROMPT = "a photo of sks dog"


def edit(model: BaseModel, steps: int) -> float:
    """CPU seconds of an edit."""
    image = Image.linear_gradient("L").resize((model.native_size,) * 2).convert("RGB")
    request = EditRequest(image, PROMPT, (f"{PROMPT} jumping",), Subject("sks", "dog"))
    config = load_recipe(model.checkpoint, "").method_config("nima", {"steps": steps}, {})
    began = time.process_time()
    METHODS["nima"].edit(model, request, config, prior=None, on_step=lambda step, total: None)
    return time.process_time() - began


def _warm_up(model: BaseModel) -> None:
    edit(model, 2)


def measure(checkpoint: str, steps: int) -> None:
    """Compile, and print the seconds and the ratio."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = base_models.load(checkpoint, device=device, dtype=precision.network_dtype(device))
    regions = CompiledRegions(model.regions)
    eager, compiled, began = [edit(model, steps)], list[float](), time.perf_counter()
    regions.compile(lambda: _warm_up(model))
    seconds = time.perf_counter() - began
    if regions.eager_because:
        raise SystemExit(regions.eager_because)
    for _ in range(ROUNDS):
        torch.compiler.set_stance("eager_on_recompile")
        compiled.append(edit(model, steps))
        torch.compiler.set_stance("force_eager")
        eager.append(edit(model, steps))
    times = [median(compiled), median(eager)]
    print(f"| {seconds:.0f} | {times[0]:.2f} | {times[1]:.2f} | {times[0] / times[1]:.2f} |", flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compiled_edits", description=__doc__)
    parser.add_argument("--checkpoint", default=str(Path(__file__).parents[1] / "menagerie/checkpoint"))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--once", action="store_true", help="only one process, with the compiled code that there is")
    options = parser.parse_args(argv)
    if options.once:
        return measure(options.checkpoint, options.steps)
    print("| start: compiling, s | edit compiled, CPU s | eager | ratio |")
    print("|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        argv = [sys.executable, "-m", "benchmarks.compiled_edits", "--once", "--checkpoint", options.checkpoint]
        for _ in range(2):
            variables = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": folder}
            subprocess.run([*argv, "--steps", str(options.steps)], env=variables, check=True)  # noqa: S603
    return None


if __name__ == "__main__":
    main()
