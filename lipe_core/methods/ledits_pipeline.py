"""diffusers' LEDITS++ pipeline, corrected for checkpoints other than SDXL's own.

The only module outside `sdxl` that imports diffusers: this pipeline is a method, not a part of the base model. Each
correction states its reason; all were found with diffusers 0.42.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import DPMSolverMultistepScheduler, LEditsPPPipelineStableDiffusionXL
from diffusers.pipelines.ledits_pp import pipeline_leditspp_stable_diffusion_xl as implementation
from torch import Tensor

from lipe_core import sdxl
from lipe_core.diffusion.guidance import EvaluationCounter
from lipe_core.errors import InvalidRequest
from lipe_core.methods.session import EditSession
from lipe_core.sdxl import BaseModel


class LeditsPipeline(LEditsPPPipelineStableDiffusionXL):  # type: ignore[misc]
    """diffusers' pipeline with our own encodings of image, prompts and size."""

    @classmethod
    def around(cls, model: BaseModel, session: EditSession) -> "LeditsPipeline":
        """A pipeline of the base model's own networks; nothing is copied."""
        pipeline = cls(
            vae=model.vae,
            text_encoder=model.text_encoders[0],
            text_encoder_2=model.text_encoders[1],
            tokenizer=model.tokenizers[0],
            tokenizer_2=model.tokenizers[1],
            unet=model.unet,
            scheduler=sde_scheduler(model),
            force_zeros_for_empty_prompt=model.zero_empty_prompt,
            add_watermarker=False,
        )
        pipeline.set_progress_bar_config(disable=True)
        pipeline.session = session
        return pipeline

    def encode_image(self, image: Any, dtype: Any = None, **_: Any) -> tuple[Tensor, Any]:
        """Replaces diffusers' method, which ignores a VAE's shift and statistics, and sides must be multiples of 32."""
        return self.session.x_0().to(dtype), image

    def encode_prompt(
        self, editing_prompt: list[str] | None = None, enable_edit_guidance: bool = True, **_: Any
    ) -> tuple[Any, ...]:
        """Replaces diffusers' method, which takes a prompt's length from the tokenizer.

        A fast tokenizer (transformers 5 has no other) returns the padded length, and the edit's mask becomes one of
        the padding.
        """
        model, size = self.session.model, self.session.size
        empty = sdxl.encode_prompt(model, [""], size=size)
        if not enable_edit_guidance or editing_prompt is None:
            return empty.prompt_embeds, None, empty.pooled_prompt_embeds, None, 0
        edits = sdxl.encode_prompt(model, editing_prompt, size=size)
        lengths = [len(sdxl.content_tokens(model, prompt)) for prompt in editing_prompt]
        return empty.prompt_embeds, edits.prompt_embeds, empty.pooled_prompt_embeds, edits.pooled_prompt_embeds, lengths

    def _get_add_time_ids(self, *_: Any, dtype: Any = None, **__: Any) -> Tensor:
        """Replaces diffusers' method, which swaps height and width in the micro-conditioning."""
        size = self.session.size
        return torch.tensor([[*size, 0, 0, *size]], dtype=dtype)


def require_support(model: BaseModel) -> None:
    """Raise InvalidRequest for a base model that the pipeline cannot edit with.

    diffusers reads its masks only at the level where the latents are halved exactly twice. Every size at which such a
    model edits can be halved so.
    """
    blocks = model.unet.config.down_block_types
    if len(blocks) < 3 or "CrossAttn" not in blocks[2]:
        raise InvalidRequest("diffusers' LEDITS++ needs a base model with cross-attention at a quarter of the latents")


@contextmanager
def observed(unet: Any, counter: EvaluationCounter, progress: Callable[[], None]) -> Iterator[None]:
    """Context manager that counts the network's rows and reports each call as a step.

    The pipeline's inversion has no callback.
    """

    def count_rows(module: Any, args: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        counter.evaluations += len(output[0])
        progress()

    hook = unet.register_forward_hook(count_rows)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def repeated_masks(channels: int) -> Iterator[None]:
    """Context manager that makes the pipeline's masks fit latents of other than 4 channels.

    diffusers repeats its masks for 4 channels, a constant in its loop. The replaced interpolation returns as many more
    as the latents have.
    """
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


def sde_scheduler(model: BaseModel) -> DPMSolverMultistepScheduler:
    """The paper's stochastic second-order solver on the checkpoint's own noise levels.

    It ends at the lowest level, not at 0, with a step like all others. By default its last step is a first-order one
    without noise; the pipeline's inversion assumes a second-order one, and does not reconstruct the image.
    """
    table = model.schedule.alphas_cumprod.double().cpu().clone()
    table[0] = (1 + table[1]) / 2  # level 0 is on no grid, but the solver takes its log, which needs noise
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
