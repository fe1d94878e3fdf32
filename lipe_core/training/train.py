"""The training loop of the identity prior: LIPE, section 3.2 (https://arxiv.org/abs/2406.17236).

DreamBooth's prior preservation (https://arxiv.org/abs/2208.12242) on the attention layers, and on the subject's token
if a `token_learning_rate` is set. Each step has images of the subject and of its class, each with its own caption.
Noise, timesteps and samples of step i are functions of (seed, i), so that a resumed training equals an unbroken one.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer

from lipe_core import precision
from lipe_core.adapters import lora
from lipe_core.adapters.textual_inversion import token_vectors, use_token
from lipe_core.backbone import BaseModel
from lipe_core.shapes import Latents
from lipe_core.training.batches import Batch, Rows, TrainingData, noised, sample_training_step
from lipe_core.training.checkpoint import Checkpoint, TrainState, Weights
from lipe_core.training.config import PriorConfig
from lipe_core.training.dataset import EncodedSet
from lipe_core.training.loss import denoising_loss
from lipe_core.training.loss_scale import scaled, unscale_gradients
from lipe_core.training.replayed import replayed_backward
from lipe_core.training.snapshots import Scorer, Snapshot, snapshot_steps

_READ_EVERY = 10
"""Steps from one reading of the losses to the next. The host waits for the device to read one."""

OnTrainStep = Callable[[int, int, float], None]
"""Called with (step, steps, loss) after each step. The loss is the newest that was read (`_READ_EVERY`)."""

OnPreview = Callable[[int], None]
"""Called with (step) while the trained weights are applied to the model, so that it can generate a preview."""

OnSnapshot = Callable[[Snapshot], None]
"""Called with each snapshot, in the order of the steps; the last one is the result."""


@dataclass(frozen=True)
class TrainingRun:
    """How a training runs; nothing here changes its result, except `rows_at_once` by rounding.

    `on_step` and `on_preview` (every `preview_every` steps; 0 = never) may raise an error to stop the training, which
    first saves its checkpoint. An existing `checkpoint` file is resumed; it is written every `checkpoint_every` steps.
    With `rows_at_once`, a step's rows go through the network in parts whose gradients add up, to use less memory.
    Without `on_snapshot` no snapshot is taken or scored; with it, `snapshots` of them besides the last step's.
    """

    on_step: OnTrainStep = lambda step, steps, loss: None
    on_preview: OnPreview = lambda step: None
    preview_every: int = 0
    checkpoint: Path | None = None
    checkpoint_every: int = 50
    rows_at_once: int | None = None
    on_snapshot: OnSnapshot | None = None
    snapshots: int = 3


@dataclass(frozen=True)
class TrainingResult:
    """The tensors of the prior, and the loss of every step."""

    adapter: dict[str, Tensor]
    losses: tuple[float, ...]


def train_adapter(
    model: BaseModel,
    references: Sequence[EncodedSet],
    regularization: EncodedSet | None,
    config: PriorConfig = PriorConfig(),
    *,
    token: str = "",
    run: TrainingRun = TrainingRun(),
) -> TrainingResult:
    """Train on the references, one set for each size, and on the regularization set, which preserves the class.

    With a `token_learning_rate`, the embeddings of `token` are trained, too. The model is the base model again when
    this returns or raises. Raises TrainingDiverged when the loss becomes NaN or infinite, InvalidCheckpoint, and
    ValueError for a missing token.
    """
    vectors = _trained_vectors(model, token, config)
    empty = model.encode_prompt([""], size=(model.native_size,) * 2)
    data = TrainingData(references, regularization, empty).on(model)
    scorer = _scorer(model, data, config, run)
    with (
        lora.trainable_weights(
            model, config.tuning, rank=config.rank, alpha=config.alpha, seed=config.seed, targets=config.targets
        ) as trainable,
        use_token(model, token, vectors),
        model.graphs.only_inside() if model.graphs is not None else nullcontext(),
    ):
        optimizer = new_optimizer(trainable.weights, vectors, config)
        checkpoint = Checkpoint(run.checkpoint, asdict(config), trainable.weights | vectors, optimizer, trainable.parts)
        state = checkpoint.load()
        trainable.publish()
        take_snapshot = partial(_take_snapshot, run, scorer, partial(_export, trainable, vectors))
        while state.step < config.steps:
            state.advance(training_step(model, data, config, state.step, trainable, optimizer, run.rows_at_once))
            if state.step in (1, config.steps) or _is_due(_READ_EVERY, state.step):
                state.read_losses()
            if _is_due(run.checkpoint_every, state.step):
                checkpoint.save(state)
            _call_back(run, checkpoint, state, config.steps, take_snapshot)
        take_snapshot(config.steps)
        return TrainingResult(_export(trainable, vectors), tuple(state.losses))


def _trained_vectors(model: BaseModel, token: str, config: PriorConfig) -> dict[str, torch.nn.Parameter]:
    if config.token_learning_rate and not token:
        raise ValueError("name the token to learn, or leave token_learning_rate out")
    return token_vectors(model, token) if config.token_learning_rate else {}


def _call_back(
    run: TrainingRun, checkpoint: Checkpoint, state: TrainState, steps: int, take_snapshot: Callable[[int], None]
) -> None:
    """Call the run's callbacks. If one raises, save the checkpoint first."""
    try:
        if state.step in snapshot_steps(steps, run.snapshots):
            take_snapshot(state.step)
        if _is_due(run.preview_every, state.step):
            run.on_preview(state.step)
        run.on_step(state.step, steps, state.losses[-1])
    except BaseException:
        checkpoint.save(state)
        raise


def training_step(
    model: BaseModel,
    data: TrainingData,
    config: PriorConfig,
    step: int,
    trainable: lora.TrainableWeights,
    optimizer: Optimizer,
    rows_at_once: int | None = None,
) -> Float[Tensor, ""]:
    """Sample the batch of `step`, accumulate its gradients, and update the weights. Returns the loss.

    On a GPU the step is only queued, in any precision but float16: the host reads nothing from the device.
    """
    optimizer.zero_grad()
    losses = []
    groups = sample_training_step(model, data, config, step)
    for group in groups:
        for rows in group.split(rows_at_once or len(groups[0])):
            losses.append(_backward(model, rows, config))
            trainable.collect()
    if unscale_gradients(optimizer, model.dtype):
        for weights in optimizer.param_groups:
            weights["lr"] = weights["peak"] * learning_rate_factor(step, config)
            torch.nn.utils.clip_grad_norm_(weights["params"], config.max_gradient_norm)
        optimizer.step()
        trainable.publish()
    return torch.stack(losses).double().sum()


def _backward(model: BaseModel, rows: Rows, config: PriorConfig) -> Float[Tensor, ""]:
    """Compute the gradients of the rows' contribution to the loss of their step, which is returned."""
    # Captions encoded in this step share one graph of autograd with all parts of the batch.
    trains_captions = rows.conditioning.prompt_embeds.requires_grad
    # Only a LoRA's gradients have fixed places, and checkpointing reads the state of the random numbers.
    can_replay = config.tuning == "lora" and not trains_captions and not model.network.is_gradient_checkpointing
    if model.graphs is not None and can_replay:
        return replayed_backward(model, model.graphs, noised(model, rows, config), partial(_batch_loss, model, config))
    loss = training_loss(model, rows, config)
    scaled(loss, model.dtype).backward(retain_graph=trains_captions)  # type: ignore[no-untyped-call]
    return loss.detach()


def training_loss(model: BaseModel, rows: Rows, config: PriorConfig) -> Float[Tensor, ""]:
    """The rows' contribution to the loss of their step. Gradients flow."""
    return _batch_loss(model, config, noised(model, rows, config))


def _batch_loss(model: BaseModel, config: PriorConfig, batch: Batch) -> Float[Tensor, ""]:
    prediction = _predict(model, config, batch)
    return denoising_loss(prediction, batch.target, batch.weight, batch.emphasis).sum()


def new_optimizer(weights: Weights, vectors: Weights, config: PriorConfig) -> Optimizer:
    """AdamW over the network's weights and the token's vectors; vectors have no decay, since zero has no meaning."""
    groups = [
        {"params": list(weights.values()), "peak": config.learning_rate, "weight_decay": config.weight_decay},
        {"params": list(vectors.values()), "peak": config.token_learning_rate, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=0.0, fused=True)


def learning_rate_factor(step: int, config: PriorConfig) -> float:
    """The learning rate of `step` as a share of its peak: linear warm-up, then half a cosine down to a tenth."""
    warmup = min(1.0, (step + 1) / max(1, config.warmup))
    decay = 0.55 + 0.45 * math.cos(math.pi * step / config.steps)
    return warmup * decay


def _predict(model: BaseModel, config: PriorConfig, batch: Batch) -> Latents:
    with _autocast(model, config):
        return model.predict(batch.x_t, batch.t, batch.conditioning)


def _export(trainable: lora.TrainableWeights, vectors: Weights) -> dict[str, Tensor]:
    """The tensors of a prior, on the CPU. They share no memory with the weights that are trained."""
    return trainable.export() | {name: vector.detach().to("cpu", copy=True) for name, vector in vectors.items()}


def _scorer(model: BaseModel, data: TrainingData, config: PriorConfig, run: TrainingRun) -> Scorer | None:
    if run.on_snapshot is None:
        return None
    return Scorer.of_base(model, data, config, partial(_predict, model, config), run.rows_at_once)


def _take_snapshot(run: TrainingRun, scorer: Scorer | None, export: Callable[[], dict[str, Tensor]], step: int) -> None:
    if run.on_snapshot is not None and scorer is not None:
        run.on_snapshot(Snapshot(step, export(), scorer.score()))


def _autocast(model: BaseModel, config: PriorConfig) -> AbstractContextManager[object]:
    """Autocast to bfloat16 if the config wants it and the network's weights are float32."""
    wants_bfloat16 = (
        precision.has_bfloat16(model.device) if config.compute_dtype == "auto" else config.compute_dtype != "float32"
    )
    enabled = wants_bfloat16 and model.dtype == torch.float32
    return torch.autocast(model.device.type, torch.bfloat16) if enabled else nullcontext()


def _is_due(every: int, step: int) -> bool:
    return every > 0 and step % every == 0
