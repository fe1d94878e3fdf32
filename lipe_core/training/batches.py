"""The batch of one training step: encoded samples with random timesteps and noise, some without their captions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from lipe_core.backbone import BaseModel
from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.randomness import stream
from lipe_core.shapes import Latents, Mask, PerRow, RowIndices, RowTimesteps
from lipe_core.training.config import PriorConfig
from lipe_core.training.dataset import EncodedSet, reencode_captions, select_batch
from lipe_core.training.loss import dreambooth_weights, min_snr_weight
from lipe_core.uploads import upload


@dataclass(frozen=True)
class TrainingData:
    """The encoded sets that a training samples from: the references, one set for each size, and the class.

    `empty` is the conditioning of the empty prompt, one row; it replaces dropped captions. Latents are on the CPU, all
    conditioning is on one device.
    """

    references: Sequence[EncodedSet]
    regularization: EncodedSet | None
    empty: Conditioning

    def on(self, model: BaseModel) -> "TrainingData":
        """The same data with its conditioning on the model's device, so that no step copies prompts."""

        def placed(conditioning: Conditioning) -> Conditioning:
            return conditioning.to(model.device, model.dtype)

        def with_prompts(encoded: EncodedSet) -> EncodedSet:
            return replace(encoded, conditioning=placed(encoded.conditioning))

        of_class = None if self.regularization is None else with_prompts(self.regularization)
        return TrainingData([with_prompts(each) for each in self.references], of_class, placed(self.empty))


@dataclass(frozen=True)
class Rows:
    """Rows of one size. `weight` is a row's weight in the step's loss, `emphasis` a position's in the row's loss.

    All but the conditioning is on the CPU.
    """

    x_0: Latents
    conditioning: Conditioning
    t: RowTimesteps
    eps: Latents
    weight: PerRow
    emphasis: Mask

    def __len__(self) -> int:
        return len(self.t)

    def select(self, rows: RowIndices) -> "Rows":
        """The rows with these indices."""
        chosen = self.conditioning.select(rows)
        return Rows(self.x_0[rows], chosen, self.t[rows], self.eps[rows], self.weight[rows], self.emphasis[rows])

    def split(self, size: int) -> list["Rows"]:
        """Consecutive parts of at most `size` rows."""
        return [self.select(torch.arange(start, min(start + size, len(self)))) for start in range(0, len(self), size)]


def sample_training_step(model: BaseModel, data: TrainingData, config: PriorConfig, step: int) -> list[Rows]:
    """All rows of one step: subject and class in one group if they have one size, else in two groups."""
    references = select_batch(data.references, step, config.batch_size, config.seed)
    parts = [reencode_captions(model, references) if config.token_learning_rate else references]
    if data.regularization is not None and config.preservation_batch_size:
        parts.append(select_batch([data.regularization], step, config.preservation_batch_size, config.seed + 1))
    instance, preservation = len(parts[0]), sum(len(part) for part in parts[1:])
    weight = dreambooth_weights(instance, preservation, config.preservation_weight)
    weights = [weight[:instance], weight[instance:]]
    if len({part.latents.shape[1:] for part in parts}) == 1:
        parts, weights = [EncodedSet.concat(parts)], [weight]
    return [
        sample_training_batch(
            part, weight, data.empty, config.caption_dropout, model.schedule.levels, ("noise", config.seed, step, k)
        )
        for k, (part, weight) in enumerate(zip(parts, weights, strict=False))
    ]


def sample_training_batch(
    samples: EncodedSet,
    weight: PerRow,
    empty: Conditioning,
    caption_dropout: float,
    levels: int,
    key: tuple[int | str, ...],
) -> Rows:
    """Draw timesteps, noise and dropped captions for the samples, as a function of `key`.

    The range of timesteps is divided into as many equal parts as there are rows, and each row gets one part: uniform,
    with less variance than independent draws.
    """
    draw, count = stream(*key), len(samples)
    positions = (torch.randperm(count, generator=draw) + torch.rand(count, generator=draw)) / count
    t = (positions * levels).long().clamp(1, levels - 1)
    eps = torch.randn(samples.latents.shape, generator=draw)
    captions = samples.conditioning
    keep = upload(torch.rand(count, generator=draw) >= caption_dropout, captions.prompt_embeds.device)
    conditioning = replace(
        captions,
        prompt_embeds=torch.where(keep[:, None, None], captions.prompt_embeds, empty.prompt_embeds),
        pooled_prompt_embeds=torch.where(keep[:, None], captions.pooled_prompt_embeds, empty.pooled_prompt_embeds),
    )
    return Rows(samples.latents, conditioning, t, eps, weight, samples.loss_weights)


@dataclass(frozen=True)
class Batch:
    """The inputs of one call of the network and of its loss, on the model's device."""

    x_t: Latents
    t: RowTimesteps
    conditioning: Conditioning
    target: Latents
    weight: PerRow
    emphasis: Mask


def noised(model: BaseModel, rows: Rows, config: PriorConfig) -> Batch:
    """Add the noise and weight the noise levels on the CPU, where their table is, and copy the batch to the device."""
    schedule, kind = model.schedule, model.prediction_type
    weight = rows.weight
    if config.min_snr_gamma:
        weight = weight * min_snr_weight(schedule, rows.t, config.min_snr_gamma, kind)
    return Batch(
        upload(schedule.add_noise(rows.x_0, rows.eps, rows.t), model.device),
        upload(rows.t, model.device),
        rows.conditioning,
        upload(schedule.target(rows.x_0, rows.eps, rows.t, kind), model.device),
        upload(weight, model.device),
        upload(rows.emphasis, model.device),
    )
