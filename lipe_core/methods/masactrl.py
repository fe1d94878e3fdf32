"""MasaCtrl: the target's self-attention reads the source's keys and values (https://arxiv.org/abs/2304.08465).

The target prompt decides the layout. From step S and layer L on, the target's queries read the content of the source
(mutual self-attention): foreground from foreground, background from background (the mask-guided variant). DDIM
inversion gives the trajectory of a real image. The stored inversion is the source branch, so it reconstructs the image
exactly; the paper samples the source again, which drifts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Interval
from einops import rearrange
from torch import Tensor

from lipe_core.adapters.prior import Prior
from lipe_core.contradictions import AtMost, Rule
from lipe_core.diffusion.ddim import OnStep, Trajectory, ddim_step, no_progress
from lipe_core.diffusion.schedule import Schedule
from lipe_core.masks import mask_ops
from lipe_core.masks.recording import RecordingDenoiser, recording_denoiser
from lipe_core.methods.progress import counted_steps
from lipe_core.methods.request import Edit, EditRequest
from lipe_core.methods.session import EditSession
from lipe_core.methods.source_features import LATE
from lipe_core.sdxl import BaseModel, Processor, self_attention_layers, use_processors
from lipe_core.settings import GuidanceScale, Level, Steps, check_settings
from lipe_core.shapes import Latents, Mask


@dataclass(frozen=True)
class MasaCtrlConfig:
    """Settings of MasaCtrl. The defaults are the paper's: S = 4 of 50 steps, L = 10 of 16 layers.

    The masks are cut by Otsu's method, as NIMA's are; the authors' code cuts the map of one token at 0.1.
    """

    seeded: ClassVar[bool] = False
    rules: ClassVar[tuple[Rule, ...]] = (AtMost("start_step", "steps"),)

    steps: Steps = 50
    """Denoising steps. More steps are slower and more exact."""

    guidance_scale: GuidanceScale = 7.5
    """Strength of classifier-free guidance towards the target prompt; 1 means none. Raise it if the edit is too
    weak."""

    start_step: Annotated[int, Interval(ge=0)] = 4
    """First step, counted from 0, at which the target reads the source's keys and values. Later starts allow larger
    changes of the layout."""

    start_layer: Annotated[int, Interval(ge=0)] | None = None
    """First self-attention layer, counted from 0 in the order of execution, that reads the source. Null: the paper's
    share of this network's layers (layer 44 of SDXL's 70)."""

    masked: bool = True
    """Whether the foreground reads only the source's foreground, and the background only its background. Turn it off
    if the masks miss the subject."""

    threshold: Level = "otsu"
    """Level of the normalized map above which a pixel belongs to the foreground; `otsu` chooses it for each image.
    Lower it if parts of the subject are missing."""

    attention_tokens: Annotated[int, Interval(ge=1)] = 256
    """Smallest number of queries of the attention layers whose maps are recorded. The coarsest level with at least as
    many is used; raise it for finer maps."""

    def __post_init__(self) -> None:
        check_settings(self)


def edit(
    model: BaseModel,
    request: EditRequest,
    config: MasaCtrlConfig = MasaCtrlConfig(),
    *,
    prior: Prior | None = None,
    on_step: OnStep = no_progress,
) -> list[Edit]:
    """One edit for each target prompt; all share one source branch. The request's mask is not used."""
    session = EditSession.of(model, request, prior, seeded=False)
    timesteps = model.timesteps(config.steps, session.size)
    on_step = counted_steps(on_step, 2 * config.steps)
    batch = 1 + len(session.rows)  # the source and the targets
    with session.with_prior():
        trajectory = session.invert(timesteps, on_step)
        prompts = session.encode([session.source_prompt, *session.target_prompts])
        state = MutualAttentionState(batch, prompts.latent_size)
        with (
            session.clock.stage("editing"),
            mutual_attention(model.unet, state, _start_layer(model.unet, config)),
            recording_denoiser(
                model, prompts, config.guidance_scale, attention_tokens=config.attention_tokens, refine=0
            ) as denoiser,
        ):
            x_0 = edit_latents(denoiser, state, model.schedule, trajectory, config, on_step)
    # The source row counts in full for each edit, as the inversion does.
    evaluations = session.inversion.evaluations + 2 * denoiser.counter.evaluations // batch
    source_masks = None
    if state.source_mask is not None:
        mask = mask_ops.resize(state.source_mask, prompts.latent_size)
        source_masks = session.mask_images(session.for_rows(mask))
    return session.edits(session.decode(x_0), config, evaluations, source_masks=source_masks)


@dataclass
class MutualAttentionState:
    """The part of the source row that the target rows read at the present step.

    They read nothing if `is_on` is false, and the whole source without masks. With masks, they read foreground from
    foreground and background from background. `rows` are the source and the targets; row 0 of each half of a batch is
    the source.
    """

    rows: int
    latent_size: tuple[int, int]
    is_on: bool = False
    source_mask: Mask | None = None
    target_mask: Mask | None = None


def edit_latents(
    denoiser: RecordingDenoiser,
    state: MutualAttentionState,
    schedule: Schedule,
    trajectory: Trajectory,
    config: MasaCtrlConfig,
    on_step: OnStep,
) -> Latents:
    """Denoise the targets beside the source.

    The masks come from the attention of the step before, because a step's attention is complete only after its layers
    have run.
    """
    x_t = trajectory.x_T.expand(state.rows - 1, -1, -1, -1)
    grid = trajectory.timesteps.tolist()
    for step, (t, s) in enumerate(pairwise(reversed(grid)), start=1):
        state.is_on = step > config.start_step
        eps, attention = denoiser.denoise_and_record(torch.cat([trajectory.at(t), x_t]), t)
        x_t = ddim_step(schedule, x_t, eps[1:], t, s)
        if config.masked:
            masks = mask_ops.subject_mask(attention, threshold=config.threshold, dilation=0.0)
            state.source_mask, state.target_mask = masks[:1], masks[1:]
        on_step(step, len(grid) - 1)
    return x_t


@contextmanager
def mutual_attention(unet: Any, state: MutualAttentionState, start_layer: int) -> Iterator[None]:
    """Context manager in which the self-attention layers from `start_layer` on are mutual."""
    late = set(self_attention_layers(unet)[start_layer:])
    with use_processors(unet, lambda name, old: MutualAttentionProcessor(old, state) if name in late else old):
        yield


@dataclass(frozen=True)
class MutualAttentionProcessor:
    """A self-attention processor whose target rows read the source row of their half of the batch."""

    inner: Processor
    state: MutualAttentionState

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        if not self.state.is_on:
            return self.inner(attn, hidden_states, encoder_hidden_states, attention_mask, **kwargs)
        halves = rearrange(hidden_states, "(half row) q d -> half row q d", row=self.state.rows)
        outputs = []
        for half in halves:
            source, targets = half[:1], half[1:]
            outputs += [self.inner(attn, source), self._read_source(attn, targets, source)]
        return torch.cat(outputs)

    def _read_source(self, attn: Any, targets: Tensor, source: Tensor) -> Tensor:
        def read(places: Tensor) -> Tensor:
            return self.inner(attn, targets, source[:, places].expand(len(targets), -1, -1))

        queries, state = source.shape[1], self.state
        everywhere = torch.ones(queries, dtype=torch.bool, device=source.device)
        if state.source_mask is None or state.target_mask is None:
            return read(everywhere)
        foreground = _at_layer(state.source_mask, state.latent_size, queries)[0, :, 0] > 0.5
        if foreground.all() or not foreground.any():  # one of the two would have nothing to read
            return read(everywhere)
        weight = _at_layer(state.target_mask, state.latent_size, queries).to(source)
        return weight * read(foreground) + (1 - weight) * read(~foreground)


def _start_layer(unet: Any, config: MasaCtrlConfig) -> int:
    if config.start_layer is not None:
        return config.start_layer
    return round(LATE * len(self_attention_layers(unet)))


def _at_layer(mask: Mask, latent_size: tuple[int, int], queries: int) -> Tensor:
    """The masks over the queries of a layer, "b q 1". Each level halves the one before, rounding up."""
    height, width = latent_size
    while height * width > queries:
        height, width = -(-height // 2), -(-width // 2)
    return rearrange(mask_ops.resize(mask, (height, width)), "b 1 h w -> b (h w) 1")
