"""LEDITS++: an edit-friendly stochastic inversion, guided by the edit's words where they matter
(https://arxiv.org/abs/2311.16711), by diffusers' own pipeline.

The second and last file that knows diffusers: everything else of it stands behind sdxl.py, but this pipeline is a
method, not a part of the base model, and goes when this file goes. What the pipeline gets wrong on checkpoints
other than SDXL's own is put right in `_Pipeline` and `_masks_of`, each with its reason; found by running 0.42.
"""

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from types import SimpleNamespace
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from annotated_types import Interval
from diffusers import DPMSolverMultistepScheduler, LEditsPPPipelineStableDiffusionXL
from diffusers.pipelines.ledits_pp import pipeline_leditspp_stable_diffusion_xl as implementation
from torch import Tensor

from lipe_core import sdxl
from lipe_core.adapters.prior import Prior
from lipe_core.diffusion.ddim import OnStep, no_progress
from lipe_core.diffusion.guidance import EvaluationCounter
from lipe_core.errors import InvalidRequest
from lipe_core.methods.request import Edit, EditRequest
from lipe_core.methods.session import EditSession
from lipe_core.sdxl import BaseModel, use_processors
from lipe_core.settings import GuidanceScale, Share, check_settings
from lipe_core.shapes import Latents, Mask, Size


@dataclass(frozen=True)
class LeditsConfig:
    """Settings of LEDITS++: the pipeline's defaults, with the paper's intersection of both implicit masks, and an exact
    inversion.

    `source_guidance_scale` and `zero_noise_steps` differ from the pipeline's defaults (12 and 3), which cost the
    background. On the miniature at 20 steps it moves by 0.5 levels of 255 with our values, and by 7 with 3 steps
    without noise.
    """

    seeded: ClassVar[bool] = True

    steps: Annotated[int, Interval(ge=2, le=800)] = 50
    """Denoising steps; the inversion takes as many."""

    source_guidance_scale: GuidanceScale = 0.0
    """Guidance towards the source prompt during the inversion. Other values than 0 make the inversion inexact, because
    the edit starts from unguided noise."""

    edit_guidance_scale: GuidanceScale = 5.0
    """Strength of the guidance towards the words of the edit. Raise it if the edit is too weak."""

    skip: Share = 0.15
    """Share of the noisiest steps that is left out. Lower it for a larger change."""

    threshold: Share = 0.9
    """Share of the image that the edit leaves alone."""

    warmup_steps: Annotated[int, Interval(ge=0)] = 0
    """First steps that run without the edit's guidance."""

    zero_noise_steps: Annotated[int, Interval(ge=0)] = 0
    """Last steps that run without noise."""

    def __post_init__(self) -> None:
        check_settings(self)
        for name in ("warmup_steps", "zero_noise_steps"):
            if getattr(self, name) > self.steps:
                raise InvalidRequest(f"{name} must be at most steps, {self.steps}, got {getattr(self, name)}")


def edit(
    model: BaseModel,
    request: EditRequest,
    config: LeditsConfig = LeditsConfig(),
    *,
    prior: Prior | None = None,
    on_step: OnStep = no_progress,
) -> list[Edit]:
    """One edit for each target prompt and seed; the prompts of a seed share its inversion. The request's own mask
    is a further limit. The edit's mask says where the edit guides at any step; elsewhere the picture is
    reconstructed, not kept.
    """
    total = len(request.seeds) * config.steps * (1 + len(request.target_prompts))
    steps_done = count(1)
    by_seed = [
        _edit_from_one_seed(
            model, replace(request, seeds=(seed,)), config, prior, lambda: on_step(next(steps_done), total)
        )
        for seed in request.seeds
    ]
    return [edit for same_prompt in zip(*by_seed, strict=True) for edit in same_prompt]


def _edit_from_one_seed(
    model: BaseModel, request: EditRequest, config: LeditsConfig, prior: Prior | None, progress: Callable[[], None]
) -> list[Edit]:
    session, inverting, editing = EditSession.of(model, request, prior), EvaluationCounter(), EvaluationCounter()
    _require_maps(model, session.size)
    with (
        session.with_prior(),
        use_processors(model.unet, lambda name, old: old),
        _masks_of(model.unet.config.in_channels),
        warnings.catch_warnings(action="ignore", category=DeprecationWarning),  # of its scheduler, by NumPy 2
    ):
        pipeline = _Pipeline.around(model, session)
        with session.clock.stage("inverting"), watched(model.unet, inverting, progress):
            pipeline.invert(
                request.image,
                source_prompt=session.source_prompt,
                source_guidance_scale=config.source_guidance_scale,
                num_inversion_steps=config.steps,
                skip=config.skip,
                generator=torch.Generator().manual_seed(request.seeds[0]),
                num_zero_noise_steps=config.zero_noise_steps,
            )
        with session.clock.stage("editing"), watched(model.unet, editing, progress):
            edited = [_guide(pipeline, session, prompt, config) for prompt in session.target_prompts]
    latents, activations = zip(*edited, strict=True)
    evaluations = inverting.evaluations + editing.evaluations // len(session.rows)
    return session.edits(torch.cat(latents), config, evaluations, edit_mask=torch.cat(activations))


def _guide(pipeline: "_Pipeline", session: EditSession, prompt: str, config: LeditsConfig) -> tuple[Latents, Mask]:
    """The last inversion, denoised towards one prompt, and where the prompt acted at any step."""
    user_mask = None if (drawn := session.user_mask()) is None else drawn[:1]
    latents = pipeline(
        editing_prompt=[concept(session.source_prompt, prompt, session.named)],
        edit_guidance_scale=config.edit_guidance_scale,
        edit_threshold=config.threshold,
        edit_warmup_steps=config.warmup_steps,
        use_intersect_mask=True,
        user_mask=user_mask,
        output_type="latent",
    ).images
    acted = (pipeline.activation_mask.amax(dim=(0, 1))[:, :1] > 0).to(latents)
    return latents, acted if user_mask is None else acted * user_mask


def concept(source: str, target: str, named: str) -> str:
    """What the pipeline is told to add: the subject and the words that only the target has.

    LEDITS++ edits by concepts ("sunglasses"), not by whole prompts, whose shared words would be pushed along and
    would draw its masks over the whole picture.
    """
    words = re.findall(r"[\w'-]+", target)
    known = {word.lower() for word in re.findall(r"[\w'-]+", source)}
    return " ".join([named, *(word for word in words if word.lower() not in known)])


@contextmanager
def watched(unet: Any, counter: EvaluationCounter, progress: Callable[[], None]) -> Iterator[None]:
    """Count the rows that the network answers while inside; each call is one step of the pipeline's, which has no
    callback in its inversion."""

    def count_rows(module: Any, args: tuple[Any, ...], answer: tuple[Tensor, ...]) -> None:
        counter.evaluations += len(answer[0])
        progress()

    hook = unet.register_forward_hook(count_rows)
    try:
        yield
    finally:
        hook.remove()


class _Pipeline(LEditsPPPipelineStableDiffusionXL):  # type: ignore[misc]
    """diffusers' pipeline with our own encodings of picture, prompts and size."""

    @classmethod
    def around(cls, model: BaseModel, session: EditSession) -> "_Pipeline":
        """The base model's own networks in the pipeline, none of them copied."""
        pipeline = cls(
            vae=model.vae,
            text_encoder=model.text_encoders[0],
            text_encoder_2=model.text_encoders[1],
            tokenizer=model.tokenizers[0],
            tokenizer_2=model.tokenizers[1],
            unet=model.unet,
            scheduler=_scheduler(model),
            force_zeros_for_empty_prompt=model.zero_empty_prompt,
            add_watermarker=False,
        )
        pipeline.set_progress_bar_config(disable=True)
        pipeline.session = session
        return pipeline

    def encode_image(self, image: Any, dtype: Any = None, **_: Any) -> tuple[Tensor, Any]:
        """diffusers' ignores a VAE's shift and per-channel statistics, and refuses sides that 32 does not divide."""
        return self.session.x_0().to(dtype), image

    def encode_prompt(
        self, editing_prompt: list[str] | None = None, enable_edit_guidance: bool = True, **_: Any
    ) -> tuple[Any, ...]:
        """diffusers' takes a prompt's length from the tokenizer; a fast one (transformers 5 has no other) answers
        with the padded length, and the edit's mask becomes one of the padding."""
        model, size = self.session.model, self.session.size
        empty = sdxl.encode_prompt(model, [""], size=size)
        if not enable_edit_guidance or editing_prompt is None:
            return empty.prompt_embeds, None, empty.pooled_prompt_embeds, None, 0
        told = sdxl.encode_prompt(model, editing_prompt, size=size)
        lengths = [len(sdxl.content_tokens(model, prompt)) for prompt in editing_prompt]
        return empty.prompt_embeds, told.prompt_embeds, empty.pooled_prompt_embeds, told.pooled_prompt_embeds, lengths

    def _get_add_time_ids(self, *_: Any, dtype: Any = None, **__: Any) -> Tensor:
        """diffusers' takes the latents' rows for the width: the micro-conditioning of pictures that are not square
        is turned by a quarter."""
        size = self.session.size
        return torch.tensor([[*size, 0, 0, *size]], dtype=dtype)


def _require_maps(model: BaseModel, size: Size) -> None:
    """diffusers reads its masks where latents were halved twice, exactly, and only there."""
    blocks, side = model.unet.config.down_block_types, 4 * model.factor
    if len(blocks) < 3 or "CrossAttn" not in blocks[2]:
        raise InvalidRequest("diffusers' LEDITS++ needs a base model with cross-attention at a quarter of the latents")
    if size[0] % side or size[1] % side:
        raise InvalidRequest(
            f"LEDITS++ needs pictures whose sides are multiples of {side}, this one is worked on at {size}"
        )


@contextmanager
def _masks_of(channels: int) -> Iterator[None]:
    """diffusers repeats its masks for 4 latent channels, a number written into the loop, where SDXL's shape is the
    only one that fits. While inside, its module's interpolation answers with as many more as the latents have."""
    if channels % 4:
        raise InvalidRequest(f"diffusers' LEDITS++ needs latent channels in fours, this base model has {channels}")

    def interpolate(mask: Tensor, size: Any) -> Tensor:
        return F.interpolate(mask, size).repeat(1, channels // 4, 1, 1)

    before = implementation.F
    implementation.F = SimpleNamespace(interpolate=interpolate, pad=F.pad, conv2d=F.conv2d)
    try:
        yield
    finally:
        implementation.F = before


def _scheduler(model: BaseModel) -> DPMSolverMultistepScheduler:
    """The stochastic second-order solver of the paper on the checkpoint's own noise levels.

    It ends at the lowest level, not at 0, by a step like all others: by default its last step is a first-order one
    without noise, which the pipeline's inversion takes for a second-order one, and the picture does not come back.
    """
    table = model.schedule.alphas_cumprod.double().cpu().clone()
    table[0] = (1 + table[1]) / 2  # level 0 is on no grid of it, and where it is clean the solver takes its log
    before = torch.cat([table.new_ones(1), table[:-1]])
    return DPMSolverMultistepScheduler(
        num_train_timesteps=model.schedule.levels,
        trained_betas=(1 - table / before).tolist(),
        algorithm_type="sde-dpmsolver++",
        solver_order=2,
        lower_order_final=False,
        final_sigmas_type="sigma_min",
        prediction_type=model.prediction_type,
        timestep_spacing="leading",
        steps_offset=model.schedule.steps_offset,
    )
