"""MyStyle's trainings: invert images, tune the generator, project into the personalized subspace.

https://arxiv.org/abs/2203.17272. The letters are the steps of `edit`.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from lipe_core.diffusion.guidance import EvaluationCounter
from lipe_core.errors import TrainingDiverged
from lipe_core.methods.mystyle.laplacian_pyramid import pyramid_distance
from lipe_core.methods.mystyle.personalized_subspace import Anchors, Coordinates, dilated
from lipe_core.methods.mystyle.stylegan2 import Generator, WPlus
from lipe_core.shapes import Pixels


@dataclass(frozen=True)
class TrackedGenerator:
    """A request's own copy of the generator, with its evaluations counted and its training steps reported."""

    network: Generator
    counter: EvaluationCounter
    on_step: Callable[[], None]

    def generate(self, w: Tensor) -> Pixels:
        """Generate the images of style vectors, (b, d) or (b, l, d)."""
        self.counter.evaluations += len(w)
        images: Pixels = self.network(w)
        return images


def invert(generator: TrackedGenerator, references: Pixels, steps: int, learning_rate: float) -> Anchors:
    """(A) The w of each reference. Starts from the average face; the learning rate falls as a cosine."""
    w = generator.network.w_average.repeat(len(references), 1).requires_grad_(True)
    optimizer = torch.optim.Adam([w], lr=learning_rate, betas=(0.9, 0.99))
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        _descend(generator, optimizer, w, references)
    return w.detach()


def tune(generator: TrackedGenerator, w: Tensor, images: Pixels, steps: int, learning_rate: float) -> None:
    """(B) and (D) Tune the generator's weights, except the mapping network's, until w generates the images."""
    weights = [weight for name, weight in generator.network.named_parameters() if not name.startswith("mapping")]
    optimizer = torch.optim.Adam(weights, lr=learning_rate)
    with _trainable(weights):
        for _ in range(steps):
            _descend(generator, optimizer, w, images)


def project(
    generator: TrackedGenerator, anchors: Anchors, image: Pixels, steps: int, learning_rate: float, beta: float
) -> Coordinates:
    """(C) The image's coordinates; each of the generator's layers has its own, as in the paper's W+ extension."""
    free = anchors.new_zeros(generator.network.sizes.layers, len(anchors)).requires_grad_(True)
    optimizer = torch.optim.Adam([free], lr=learning_rate)
    for _ in range(steps):
        _descend(generator, optimizer, rearrange(dilated(free, beta) @ anchors, "l d -> 1 l d"), image)
    return dilated(free, beta).detach()


def at_all_layers(w: Tensor, generator: Generator) -> WPlus:
    """The same style vector for every layer: (b, d) -> (b, l, d)."""
    return rearrange(w, "b d -> b 1 d").expand(-1, generator.sizes.layers, -1)


def _descend(generator: TrackedGenerator, optimizer: torch.optim.Optimizer, w: Tensor, images: Pixels) -> None:
    """One optimizer step towards the images."""
    generated = generator.generate(w)
    loss = pyramid_distance(generated, images).mean() + (generated - images).square().mean()
    if not math.isfinite(loss.item()):
        raise TrainingDiverged(f"the loss is {loss.item()}: lower the learning rates")
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    generator.on_step()


@contextmanager
def _trainable(weights: Sequence[torch.nn.Parameter]) -> Iterator[None]:
    try:
        for weight in weights:
            weight.requires_grad_(True)
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(False)
            weight.grad = None
