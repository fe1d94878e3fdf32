"""The networks of any checkpoint of Stable Diffusion XL's classes, of any size, and their prediction.

https://arxiv.org/abs/2307.01952. `components` loads the networks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.attention import FeedForward
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from lipe_core import backbone
from lipe_core.backbone import predict_noise
from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.diffusion.ddim import Denoiser
from lipe_core.diffusion.schedule import NoiseSchedule
from lipe_core.sdxl.prompt_projections import PromptProjections
from lipe_core.shapes import Latents, RowTimesteps

FAMILY = "sdxl"
"""The family of the checkpoints that this package loads."""


@dataclass(frozen=True)
class Networks(backbone.BaseModel):
    """The parts of a loaded checkpoint. `zero_empty_prompt` is the pipeline's `force_zeros_for_empty_prompt`."""

    family: ClassVar[str] = FAMILY
    records_graphs: ClassVar[bool] = True

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    tokenizers: tuple[CLIPTokenizer, CLIPTokenizer]
    text_encoders: tuple[CLIPTextModel, CLIPTextModelWithProjection]
    schedule: NoiseSchedule
    zero_empty_prompt: bool

    @property
    def network(self) -> Any:
        """The U-Net."""
        return self.unet

    @property
    def regions(self) -> Sequence[Any]:
        """Residual blocks and feed-forward layers. Attention is recorded, read and exchanged."""
        return [part for part in self.unet.modules() if isinstance(part, ResnetBlock2D | FeedForward)]

    @property
    def networks(self) -> tuple[Any, ...]:
        """All networks of the checkpoint."""
        return self.unet, self.vae, *self.text_encoders

    @property
    def factor(self) -> int:
        """Pixels per latent along each side."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def latent_channels(self) -> int:
        """Channels of the latents."""
        return int(self.unet.config.in_channels)

    @property
    def native_size(self) -> int:
        """Side in pixels of the square images that the network was trained on."""
        return int(self.unet.config.sample_size) * self.factor


def predict(model: Networks, x_t: Latents, t: RowTimesteps, conditioning: Conditioning) -> Latents:
    """The network's prediction (noise or velocity, by `prediction_type`) in float32. Gradients flow."""
    conditioning = conditioning.to(model.device, model.dtype)
    prediction: Tensor = model.unet(
        x_t.to(model.dtype),
        t,
        encoder_hidden_states=conditioning.prompt_embeds,
        added_cond_kwargs={
            "text_embeds": conditioning.pooled_prompt_embeds,
            "time_ids": conditioning.time_ids,
        },
        return_dict=False,
    )[0]
    return prediction.float()


def denoiser(model: Networks, conditioning: Conditioning) -> Denoiser:
    """A denoiser under this conditioning, one row of x_t for each of its rows, without gradients.

    Its calls share the prompts' keys and values.
    """
    conditioning = conditioning.to(model.device, model.dtype)
    projections = PromptProjections.of(model.unet, conditioning.prompt_embeds)

    def denoise(x_t: Latents, t: int) -> Latents:
        with projections.used():
            return predict_noise(model, x_t, torch.full((len(x_t),), t, device=x_t.device), conditioning)

    return denoise
