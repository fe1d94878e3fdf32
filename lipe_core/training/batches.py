"""What training shows the network: samples noised to random levels, some without their captions."""

from dataclasses import dataclass, replace

import torch

from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.randomness import stream
from lipe_core.shapes import Latents, Mask, PerRow, RowIndices, RowTimesteps
from lipe_core.training.dataset import EncodedSet


@dataclass(frozen=True)
class Rows:
    """Rows of one size; each row's weight in the step's loss, and each place's in the row's."""

    x_0: Latents
    conditioning: Conditioning
    t: RowTimesteps
    eps: Latents
    weight: PerRow
    emphasis: Mask

    def select(self, rows: RowIndices) -> "Rows":
        """The rows with these indices."""
        chosen = self.conditioning.select(rows)
        return Rows(self.x_0[rows], chosen, self.t[rows], self.eps[rows], self.weight[rows], self.emphasis[rows])


def sample_training_batch(
    samples: EncodedSet,
    weight: PerRow,
    empty: Conditioning,
    caption_dropout: float,
    levels: int,
    key: tuple[int | str, ...],
) -> Rows:
    """Timesteps, noise, and which captions are kept, of some samples: a function of the key.

    Timesteps are one from each equal part of the schedule's levels: uniform, with less variance than chance.
    """
    source, count = stream(*key), len(samples)
    places = (torch.randperm(count, generator=source) + torch.rand(count, generator=source)) / count
    t = (places * levels).long().clamp(1, levels - 1)
    eps = torch.randn(samples.latents.shape, generator=source)
    kept = torch.rand(count, generator=source) >= caption_dropout
    told = samples.conditioning
    conditioning = replace(
        told,
        prompt_embeds=torch.where(kept[:, None, None], told.prompt_embeds, empty.prompt_embeds),
        pooled_prompt_embeds=torch.where(kept[:, None], told.pooled_prompt_embeds, empty.pooled_prompt_embeds),
    )
    return Rows(samples.latents, conditioning, t, eps, weight, samples.weights)
