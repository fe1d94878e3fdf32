"""Compare a training step of LIPE with that of diffusers' example: ``python -m benchmarks.training_turns``.

Both train the miniature in one process, a step of each in turns, so that other load affects both alike. The seconds are
those of the CPU. One thread is the default: threads that wait for a core that others use take CPU time, too.

The example's step is that of `diffusers_counterparts`, which reads no image files.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import torch

from benchmarks import diffusers_counterparts as counterparts
from benchmarks.training import INSTANCE, config_of, prepare, samples
from lipe_core import sdxl
from lipe_core.adapters import lora
from lipe_core.precision import denormals_flushed
from lipe_core.training import dataset, train
from lipe_core.training.batches import TrainingData
from menagerie.models import CHECKPOINT

_WARM_UP = 2


@contextmanager
def lipe_step(folder: Path, batch: int, rank: int) -> Iterator[Callable[[], object]]:
    """The function that makes LIPE's next training step, with the settings of the example."""
    model = sdxl.load(CHECKPOINT)
    data = prepare(model, folder)
    identity = dataset.encode(model, samples(data / "references", INSTANCE))
    of_class = dataset.load(data / "regularization.safetensors")
    empty = sdxl.encode_prompt(model, [""], size=(model.native_size,) * 2)
    training_data = TrainingData(identity, of_class, empty).on(model)
    config = config_of(argparse.Namespace(steps=1000, batch=batch, rank=rank, dtype="float32"))
    with lora.trainable_weights(model, "lora", rank=rank, alpha=rank, seed=0) as trainable:
        optimizer, numbers = train.new_optimizer(trainable.weights, {}, config), count()
        yield lambda: train.training_step(model, training_data, config, next(numbers), trainable, optimizer)


def compare(batch: int, steps: int, threads: int, rank: int = 16) -> dict[str, Any]:
    """The median seconds of a step of each, and the median ratio of steps that follow each other."""
    torch.set_num_threads(threads)
    with ExitStack() as stack:
        stack.enter_context(denormals_flushed())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        example = counterparts.lora_training_step(sdxl.load(CHECKPOINT), rank=rank, with_vae=True, batch=batch)
        works = {
            "lipe": stack.enter_context(lipe_step(folder, batch, rank)),
            "example": stack.enter_context(example),
        }
        seconds: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(_WARM_UP + steps):
            for name, work in works.items():
                start = time.process_time()
                work()
                seconds[name].append(time.process_time() - start)
    measured = {name: each[_WARM_UP:] for name, each in seconds.items()}
    pairs = zip(measured["example"], measured["lipe"], strict=True)
    return {
        "images": f"{batch} + {batch}",
        "threads": threads,
        **{f"{name}_seconds": round(statistics.median(each), 4) for name, each in measured.items()},
        "ratio": round(statistics.median(example / lipe for example, lipe in pairs), 3),
    }


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_turns", description=__doc__)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4], help="references, and class images, per step")
    parser.add_argument("--steps", type=int, default=20, help="steps of each, after a warm-up")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(argv)
    for batch in options.batches:
        print(json.dumps(compare(batch, options.steps, options.threads)), flush=True)


if __name__ == "__main__":
    main()
