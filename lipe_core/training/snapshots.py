"""Snapshots of a training: the adapter after some of the steps, each with two scores that need no other model.

The last step is rarely the best: a training that is too long keeps the subject and loses the rest of the class, so that
prompts have less effect. Both scores compare the network with the base model on the same noise and timesteps, which are
functions of the training's seed. One noise level counts as much as another, because each row is compared with itself.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lipe_core.backbone import BaseModel
from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.shapes import Latents, PerRow
from lipe_core.training.batches import Batch, TrainingData, noised, sample_training_batch
from lipe_core.training.config import PriorConfig
from lipe_core.training.dataset import EncodedSet, reencode_captions
from lipe_core.training.loss import denoising_loss

ROWS = 16
"""Noisy images for each score. Each is one row of a forward pass, so a snapshot costs about as much as ten steps."""

ROWS_AT_ONCE = 4
"""Without gradients they need less memory than the two rows of a training step."""

TOLERANCE = 0.05
"""A snapshot is about as good as the best if its identity is at most this share lower."""

Predict = Callable[[Batch], Latents]
"""The network's prediction for a batch, in the training's precision."""


@dataclass(frozen=True)
class Scores:
    """How well an adapter knows the subject, and how much of the base model's class it keeps.

    `identity`: 1 - loss / base model's loss on the references; 0 = no better than the base model, 1 = perfect.
    `flexibility`: 1 - squared distance to the base model's prediction / base model's loss, on the regularization set;
    1 = predicts as the base model does. It may be below 0, and is None for a training without a regularization set.
    """

    identity: float
    flexibility: float | None


@dataclass(frozen=True)
class Snapshot:
    """The tensors of a prior as they were after `step`, with their scores."""

    step: int
    adapter: dict[str, Tensor]
    scores: Scores


def snapshot_steps(steps: int, count: int) -> range:
    """The steps after which a training of `steps` steps keeps a snapshot: at most `count`, evenly, before the last."""
    interval = math.ceil(steps / (count + 1))
    return range(interval, steps, interval) if count else range(0)


def recommended(scores: Sequence[Scores]) -> int:
    """The index of the earliest snapshot, in the order of their steps, whose identity is about the best.

    Further steps gain next to nothing for the subject, and each one moves the network away from the base model. So the
    earliest has the most flexibility of those that know the subject equally well.
    """
    best = max(each.identity for each in scores)
    return next(k for k, each in enumerate(scores) if each.identity >= best - TOLERANCE * abs(best))


@dataclass(frozen=True)
class Scorer:
    """Scores the network's current weights. `of_base` makes one while the network is the base model."""

    model: BaseModel
    config: PriorConfig
    predict: Predict
    references: tuple[EncodedSet, ...]
    regularization: tuple[EncodedSet, ...]
    empty: Conditioning
    rows_at_once: int
    base: tuple[Tensor, ...] = ()
    """The base model's predictions, in the order of the batches: the references', then the class images'."""

    @classmethod
    def of_base(
        cls, model: BaseModel, data: TrainingData, config: PriorConfig, predict: Predict, rows_at_once: int | None
    ) -> "Scorer":
        """Choose the rows and keep the base model's predictions for them."""
        uses_class = config.preservation_batch_size > 0
        of_class = _rows([data.regularization]) if data.regularization is not None and uses_class else ()
        at_once = rows_at_once or ROWS_AT_ONCE
        scorer = cls(model, config, predict, _rows(data.references), of_class, data.empty, at_once)
        batches = scorer._batches(scorer.references, "references") + scorer._batches(of_class, "class")
        return replace(scorer, base=tuple(scorer._predictions(batches)))

    def score(self) -> Scores:
        """Compare the current weights with the base model. Draws no random numbers but its own."""
        of_subject = self._batches(self.references, "references")
        of_class = self._batches(self.regularization, "class")
        base_of_subject, base_of_class = self.base[: len(of_subject)], self.base[len(of_subject) :]
        losses = [
            _error(now, batch.target, batch) / _error(base, batch.target, batch)
            for now, base, batch in zip(self._predictions(of_subject), base_of_subject, of_subject, strict=True)
        ]
        distances = [
            _error(now, base, batch) / _error(base, batch.target, batch)
            for now, base, batch in zip(self._predictions(of_class), base_of_class, of_class, strict=True)
        ]
        return Scores(_one_minus_mean(losses), _one_minus_mean(distances) if distances else None)

    @torch.no_grad()
    def _batches(self, sets: Sequence[EncodedSet], kind: str) -> list[Batch]:
        """The noisy rows, always the same. The captions are encoded again if the token's embedding is trained."""
        batches = []
        for number, encoded in enumerate(sets):
            retrains_token = self.config.token_learning_rate > 0 and kind == "references"
            rows = sample_training_batch(
                reencode_captions(self.model, encoded) if retrains_token else encoded,
                torch.ones(len(encoded)),
                self.empty,
                0.0,
                self.model.schedule.levels,
                ("snapshot", kind, self.config.seed, number),
            )
            batches += [noised(self.model, part, self.config) for part in rows.split(self.rows_at_once)]
        return batches

    @torch.no_grad()
    def _predictions(self, batches: Sequence[Batch]) -> list[Tensor]:
        return [self.predict(batch).float() for batch in batches]


def _rows(sets: Sequence[EncodedSet]) -> tuple[EncodedSet, ...]:
    """About ROWS rows in all: every image as often as the others, or the first ones of more images."""
    total = sum(map(len, sets))
    counts = [math.ceil(ROWS * len(encoded) / total) for encoded in sets]
    return tuple(
        encoded.select(torch.arange(count) % len(encoded)) for encoded, count in zip(sets, counts, strict=True)
    )


def _error(prediction: Latents, target: Latents, batch: Batch) -> PerRow:
    """Mean squared error of each row, with the subject's pixels weighted as in the training."""
    return denoising_loss(prediction, target.float(), torch.ones_like(batch.weight), batch.emphasis)


def _one_minus_mean(ratios: list[Tensor]) -> float:
    """One minus the mean of all rows' ratios."""
    return 1.0 - float(torch.cat(ratios).mean())
