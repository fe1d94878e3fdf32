"""Stage 1: learn a subject's identity prior. LIPE, section 3.2 (https://arxiv.org/abs/2406.17236).

DreamBooth's prior preservation on the attention layers, with a word for the subject where asked: one step has pictures
of the subject and pictures of its class, each with its own caption. Noise, timesteps and order of step i are functions
of (seed, i) alone, so a resumed run equals an unbroken one.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer

from lipe_core import precision, sdxl
from lipe_core.adapters import lora
from lipe_core.adapters.textual_inversion import token_vectors, use_token
from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.errors import TrainingDiverged
from lipe_core.sdxl import BaseModel
from lipe_core.training.batches import Rows, sample_training_batch
from lipe_core.training.checkpoint import TrainState, Weights, load_checkpoint, save_checkpoint
from lipe_core.training.config import PriorConfig
from lipe_core.training.dataset import EncodedSet, batch, reencode_captions
from lipe_core.training.loss import denoising_loss, dreambooth_weights, min_snr_weight

OnTrainStep = Callable[[int, int, float], None]
"""(step, steps, loss) after each step; it may raise to stop the training, which is checkpointed first."""

OnPreview = Callable[[int], None]
"""(step), with what is learnt so far on: the place to paint a picture with the model. It may raise to stop, too."""

_VALIDATION_DRAWS = 4


@dataclass(frozen=True)
class TrainingResult:
    """What a training gives: the prior's tensors, the loss of every step, and (step, loss) of every validation."""

    adapter: dict[str, Tensor]
    losses: tuple[float, ...]
    validations: tuple[tuple[int, float], ...] = ()


def learn_prior(
    model: BaseModel,
    identity: Sequence[EncodedSet],
    regularization: EncodedSet | None,
    config: PriorConfig = PriorConfig(),
    *,
    token: str = "",
    on_step: OnTrainStep = lambda step, steps, loss: None,
    on_preview: OnPreview = lambda step: None,
    preview_every: int = 0,
    checkpoint: Path | None = None,
    checkpoint_every: int = 50,
    rows_at_once: int | None = None,
) -> TrainingResult:
    """Train on the subject's pictures, a set for each size; `regularization` keeps the class what it was.

    With a `token_learning_rate`, what `token` means is learnt, too. With `checkpoint`, a training that was stopped goes
    on from that file. With `rows_at_once`, a step's rows go through the network in parts whose gradients add up: the
    same step in less memory. Raises TrainingDiverged when the loss becomes NaN; whatever is raised, the model is the
    base model again.
    """
    if config.token_learning_rate and not token:
        raise ValueError("name the token that is to be learnt, or leave token_learning_rate out")
    words = token_vectors(model, token) if config.token_learning_rate else {}
    empty = sdxl.encode_prompt(model, [""], size=(model.native_size,) * 2).to("cpu", torch.float32)
    with (
        lora.tuned(
            model, config.tuning, rank=config.rank, alpha=config.alpha, dropout=config.dropout, seed=config.seed,
            targets=config.targets,
        ) as tuned,
        use_token(model, token, words), _dropout(model, True),
    ):  # fmt: skip
        weights = tuned.weights | words
        optimizer = new_optimizer(tuned.weights, words, config)
        state = load_checkpoint(checkpoint, asdict(config), weights, optimizer)

        def keep() -> None:
            if checkpoint:
                save_checkpoint(checkpoint, asdict(config), state, weights, optimizer)

        while state.step < config.steps and not state.is_on_plateau(config.patience):
            rows = step_rows(model, identity, regularization, empty, config, state.step)
            loss = update(model, rows, config, state.step, optimizer, rows_at_once or len(rows[0].t))
            state.advance(loss, weights, config.ema)
            if _is_due(config.validate_every, state):
                with _dropout(model, False):
                    state.validations.append((state.step, validation_loss(model, identity, empty, config)))
            if _is_due(checkpoint_every, state):
                keep()
            try:
                if _is_due(preview_every, state):
                    with _dropout(model, False):
                        on_preview(state.step)
                on_step(state.step, config.steps, loss)
            except BaseException:
                keep()
                raise
        for name, mean in state.average.items():
            weights[name].data.copy_(mean)
        learnt = tuned.export() | {name: vectors.detach().cpu() for name, vectors in words.items()}
        return TrainingResult(learnt, tuple(state.losses), tuple(state.validations))


def new_optimizer(weights: Weights, words: Weights, config: PriorConfig) -> Optimizer:
    """AdamW over the network's weights and the token's vectors, which do not decay: zero is no meaning."""
    groups = [
        {"params": list(weights.values()), "peak": config.learning_rate, "weight_decay": config.weight_decay},
        {"params": list(words.values()), "peak": config.token_learning_rate, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=0.0, fused=True)


def step_rows(
    model: BaseModel,
    identity: Sequence[EncodedSet],
    regularization: EncodedSet | None,
    empty: Conditioning,
    config: PriorConfig,
    step: int,
) -> list[Rows]:
    """All rows of one step, the subject's and the class's as one where they have one size."""
    subjects = batch(identity, step, config.batch_size, config.seed)
    parts = [reencode_captions(model, subjects) if config.token_learning_rate else subjects]
    if regularization is not None and config.preservation_batch_size:
        parts.append(batch([regularization], step, config.preservation_batch_size, config.seed + 1))
    instance, preservation = len(parts[0]), sum(len(part) for part in parts[1:])
    weight = dreambooth_weights(instance, preservation, config.preservation_weight)
    weights = [weight[:instance], weight[instance:]]
    if len({part.latents.shape[1:] for part in parts}) == 1:
        parts, weights = [EncodedSet.concat(parts)], [weight]
    return [
        sample_training_batch(
            part, weight, empty, config.caption_dropout, model.schedule.levels, ("noise", config.seed, step, k)
        )
        for k, (part, weight) in enumerate(zip(parts, weights, strict=False))
    ]


def update(
    model: BaseModel, step_rows: Sequence[Rows], config: PriorConfig, step: int, optimizer: Optimizer, rows_at_once: int
) -> float:
    """One step of the optimizer; returns the loss, which must be a number."""
    optimizer.zero_grad()
    total = 0.0
    for rows in step_rows:
        for places in _parts(len(rows.t), rows_at_once):
            total += _backward(model, rows.select(places), config)
    if not math.isfinite(total):
        raise TrainingDiverged(f"the loss is {total} at step {step}: lower learning_rate")
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * annealing(step, config)
        torch.nn.utils.clip_grad_norm_(group["params"], config.max_gradient_norm)
    optimizer.step()
    return total


def _backward(model: BaseModel, rows: Rows, config: PriorConfig) -> float:
    """Adds the rows' share of the gradients. Where captions are encoded in the step, its parts share what that left."""
    loss = weighted_loss(model, rows, config)
    loss.backward(retain_graph=rows.conditioning.prompt_embeds.requires_grad)  # type: ignore[no-untyped-call]
    return loss.item()


def weighted_loss(model: BaseModel, rows: Rows, config: PriorConfig) -> Float[Tensor, ""]:
    """The rows' share of the step's loss."""
    x_0, eps, t = rows.x_0.to(model.device), rows.eps.to(model.device), rows.t.to(model.device)
    x_t = model.schedule.add_noise(x_0, eps, t)
    with _autocast(model, config):
        prediction = sdxl.predict(model, x_t, t, rows.conditioning)
    target = model.schedule.target(x_0, eps, t, model.prediction_type)
    weight = rows.weight.to(model.device)
    if config.min_snr_gamma:
        weight = weight * min_snr_weight(model.schedule, t, config.min_snr_gamma, model.prediction_type)
    return denoising_loss(prediction, target, weight, rows.emphasis.to(model.device)).sum()


def _autocast(model: BaseModel, config: PriorConfig) -> torch.autocast:
    halve = (
        precision.has_bfloat16(model.device) if config.compute_dtype == "auto" else config.compute_dtype != "float32"
    )
    return torch.autocast(model.device.type, torch.bfloat16, enabled=halve and model.dtype != torch.bfloat16)


@torch.no_grad()
def validation_loss(
    model: BaseModel, identity: Sequence[EncodedSet], empty: Conditioning, config: PriorConfig
) -> float:
    """The mean loss of all references on noise that does not depend on the step, every caption kept."""
    count = sum(len(bucket) for bucket in identity) * _VALIDATION_DRAWS
    levels, total = model.schedule.levels, 0.0
    for k, bucket in enumerate(identity):
        told = reencode_captions(model, bucket) if config.token_learning_rate else bucket
        for draw in range(_VALIDATION_DRAWS):
            weight = torch.ones(len(bucket)) / count
            rows = sample_training_batch(told, weight, empty, 0.0, levels, ("validation", config.seed, k, draw))
            total += weighted_loss(model, rows, config).item()
    return total


def annealing(step: int, config: PriorConfig) -> float:
    """What share of their peak rates have: a linear warm-up, then half a cosine down to a tenth."""
    rise = min(1.0, (step + 1) / max(1, config.warmup))
    fall = 0.55 + 0.45 * math.cos(math.pi * step / config.steps)
    return rise * fall


@contextmanager
def _dropout(model: BaseModel, training: bool) -> Iterator[None]:
    """On or off while the block runs. Not at each step, of which telling every module takes a part."""
    before = model.unet.training
    model.unet.train(training)
    try:
        yield
    finally:
        model.unet.train(before)


def _parts(count: int, size: int) -> list[Tensor]:
    return [torch.arange(start, min(start + size, count)) for start in range(0, count, size)]


def _is_due(every: int, state: TrainState) -> bool:
    return every > 0 and state.step % every == 0
