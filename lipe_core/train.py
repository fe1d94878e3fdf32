"""Stage 1: learn a subject's identity prior. LIPE, section 3.2 (https://arxiv.org/abs/2406.17236).

DreamBooth's prior preservation on a LoRA of the attention layers: one batch holds pictures of the subject and
pictures of its class, each with its own caption. Noise, timesteps and order of step i are functions of (seed, i)
alone, so a resumed run equals an unbroken one.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from lipe_core import adapter, sdxl
from lipe_core.conditioning import Conditioning
from lipe_core.dataset import EncodedSet, batch, write_tensors
from lipe_core.loss import denoising_loss, dreambooth_loss, min_snr_weight
from lipe_core.randomness import stream
from lipe_core.sdxl import BaseModel
from lipe_core.shapes import Latents, RowTimesteps

OnTrainStep = Callable[[int, int, float], None]
"""(step, steps, loss) after each step; it may raise to stop the training, which is checkpointed first."""

OnPreview = Callable[[int], None]
"""(step), with the adapter on: the place to paint a picture with the model."""


class TrainingDiverged(RuntimeError):
    """The loss is not a number any more."""


class InvalidCheckpoint(ValueError):
    """The checkpoint belongs to another training."""


@dataclass(frozen=True)
class PriorConfig:
    """Settings of a training. None of these values is the paper's, which published none.

    `batch_size` pictures of the subject and `preservation_batch_size` of its class make a step;
    `caption_dropout` is the share of captions left empty, for guidance. `compute_dtype` is autocast's.
    """

    steps: int = 500
    batch_size: int = 1
    preservation_batch_size: int = 1
    learning_rate: float = 1e-4
    warmup: int = 20
    rank: int = 16
    alpha: float = 16.0
    dropout: float = 0.0
    weight_decay: float = 0.01
    preservation_weight: float = 1.0
    min_snr_gamma: float = 5.0
    caption_dropout: float = 0.05
    max_gradient_norm: float = 1.0
    compute_dtype: str = "bfloat16"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "rank"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("learning_rate", "alpha", "min_snr_gamma", "max_gradient_norm"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {getattr(self, name)}")
        if not 0 <= self.caption_dropout < 1 or not 0 <= self.dropout < 1:
            raise ValueError("caption_dropout and dropout are shares in [0, 1)")
        if self.compute_dtype not in ("bfloat16", "float32"):
            raise ValueError(f"compute_dtype must be bfloat16 or float32, got {self.compute_dtype!r}")


@dataclass
class TrainState:
    """How far a training is; the adapter's weights and moments live in network and optimizer."""

    step: int = 0
    losses: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Learned:
    """What a training gives: the adapter's tensors as diffusers reads them, and the loss of every step."""

    adapter: dict[str, Tensor]
    losses: tuple[float, ...]


def learn_prior(
    model: BaseModel,
    identity: EncodedSet,
    regularization: EncodedSet | None,
    config: PriorConfig = PriorConfig(),
    *,
    on_step: OnTrainStep = lambda step, steps, loss: None,
    on_preview: OnPreview = lambda step: None,
    preview_every: int = 0,
    checkpoint: Path | None = None,
    checkpoint_every: int = 50,
) -> Learned:
    """Train an adapter on the subject's pictures; `regularization` keeps the class what it was.

    With `checkpoint`, a training that was stopped goes on from that file. Raises TrainingDiverged when the loss
    becomes NaN; whatever is raised, the model is the base model again.
    """
    empty = sdxl.encode_prompt(model, [""], size=_size(model, identity))
    with adapter.new_adapter(
        model, rank=config.rank, alpha=config.alpha, dropout=config.dropout, seed=config.seed
    ) as name:
        weights = adapter.parameters(model)
        optimizer = torch.optim.AdamW(weights.values(), lr=0.0, weight_decay=config.weight_decay)
        state = _resume(checkpoint, config, weights, optimizer)
        model.unet.train()
        try:
            while state.step < config.steps:
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(state.step, config)
                loss = training_loss(model, identity, regularization, empty, config, state.step)
                if not torch.isfinite(loss):
                    raise TrainingDiverged(f"the loss is {loss.item()} at step {state.step}: lower learning_rate")
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(weights.values(), config.max_gradient_norm)
                optimizer.step()
                state.step += 1
                state.losses.append(loss.item())
                if checkpoint and state.step % checkpoint_every == 0:
                    _save(checkpoint, config, state, weights, optimizer)
                if preview_every and state.step % preview_every == 0:
                    model.unet.eval()
                    on_preview(state.step)
                    model.unet.train()
                _report(on_step, checkpoint, config, state, weights, optimizer)
        finally:
            model.unet.eval()
        return Learned(adapter.exported(model, name), tuple(state.losses))


def training_loss(
    model: BaseModel,
    identity: EncodedSet,
    regularization: EncodedSet | None,
    empty: Conditioning,
    config: PriorConfig,
    step: int,
) -> Tensor:
    """DreamBooth's loss of one step: both kinds of samples go through the network as one batch."""
    parts = [batch(identity, step, config.batch_size, config.seed)]
    if regularization is not None and config.preservation_batch_size:
        parts.append(batch(regularization, step, config.preservation_batch_size, config.seed + 1))
    x_0 = torch.cat([part.latents for part in parts]).to(model.device)
    conditioning = Conditioning.concat([part.conditioning for part in parts]).to(model.device, model.dtype)
    t, eps, kept = draw(x_0, model.schedule.levels, config, step)
    conditioning = _drop_captions(conditioning, empty, kept)
    x_t = model.schedule.add_noise(x_0, eps, t)
    with torch.autocast(
        model.device.type, torch.bfloat16, enabled=config.compute_dtype == "bfloat16" != str(model.dtype)[6:]
    ):
        prediction = sdxl.predict(model, x_t, t, conditioning)
    target = model.schedule.target(x_0, eps, t, model.prediction_type)
    weight = min_snr_weight(model.schedule, t, config.min_snr_gamma, model.prediction_type)
    losses = denoising_loss(prediction, target, weight)
    return dreambooth_loss(losses[: config.batch_size], losses[config.batch_size :], config.preservation_weight)


def draw(x_0: Latents, levels: int, config: PriorConfig, step: int) -> tuple[RowTimesteps, Latents, Tensor]:
    """Timesteps, noise, and which captions are kept, of one step: a function of (seed, step).

    Timesteps are one from each equal part of the schedule: uniform, with less variance than chance.
    """
    source = stream("noise", config.seed, step)
    rows = len(x_0)
    places = (torch.randperm(rows, generator=source) + torch.rand(rows, generator=source)) / rows
    t = (places * levels).long().clamp(1, levels - 1)
    eps = torch.randn(x_0.shape, generator=source)
    kept = torch.rand(rows, generator=source) >= config.caption_dropout
    return t.to(x_0.device), eps.to(x_0), kept.to(x_0.device)


def learning_rate(step: int, config: PriorConfig) -> float:
    """Linear warm-up, then half a cosine down to a tenth: a pure function of the step."""
    rise = min(1.0, (step + 1) / max(1, config.warmup))
    fall = 0.55 + 0.45 * math.cos(math.pi * step / config.steps)
    return config.learning_rate * rise * fall


def _drop_captions(conditioning: Conditioning, empty: Conditioning, kept: Tensor) -> Conditioning:
    nothing = empty.expand(len(conditioning)).to(conditioning.prompt_embeds.device, conditioning.prompt_embeds.dtype)
    return Conditioning(
        torch.where(kept[:, None, None], conditioning.prompt_embeds, nothing.prompt_embeds),
        torch.where(kept[:, None], conditioning.pooled_prompt_embeds, nothing.pooled_prompt_embeds),
        conditioning.time_ids,
    )


def _size(model: BaseModel, encoded: EncodedSet) -> tuple[int, int]:
    return encoded.latents.shape[2] * model.factor, encoded.latents.shape[3] * model.factor


def _report(
    on_step: OnTrainStep,
    checkpoint: Path | None,
    config: PriorConfig,
    state: TrainState,
    weights: dict[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
) -> None:
    try:
        on_step(state.step, config.steps, state.losses[-1])
    except BaseException:
        if checkpoint:
            _save(checkpoint, config, state, weights, optimizer)
        raise


def _save(
    checkpoint: Path,
    config: PriorConfig,
    state: TrainState,
    weights: dict[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
) -> None:
    tensors = {f"weight.{name}": weight.detach().cpu().contiguous() for name, weight in weights.items()}
    for name, weight in weights.items():
        for moment, value in optimizer.state[weight].items():
            tensors[f"{moment}.{name}"] = value.detach().cpu().contiguous()
    metadata = {
        "config": json.dumps(asdict(config)), "step": str(state.step), "losses": json.dumps(state.losses),
    }  # fmt: skip
    write_tensors(tensors, checkpoint, metadata)


def _resume(
    checkpoint: Path | None,
    config: PriorConfig,
    weights: dict[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
) -> TrainState:
    """The state in the checkpoint, its tensors put into place; a new state if there is none."""
    if checkpoint is None or not checkpoint.exists():
        return TrainState()
    with safe_open(checkpoint, framework="pt") as stored:
        metadata = stored.metadata()
        if json.loads(metadata["config"]) != asdict(config):
            raise InvalidCheckpoint(f"{checkpoint} belongs to a training with other settings: remove it to start anew")
        for name, weight in weights.items():
            weight.data.copy_(stored.get_tensor(f"weight.{name}"))
            optimizer.state[weight] = {
                moment: stored.get_tensor(f"{moment}.{name}").to(weight.device if moment != "step" else "cpu")
                for moment in ("step", "exp_avg", "exp_avg_sq")
            }
    return TrainState(int(metadata["step"]), json.loads(metadata["losses"]))
