"""The networks of any checkpoint of FLUX.2 [klein]'s classes, of any size, and their prediction.

A transformer reads text tokens and image tokens in one sequence: first in double-stream blocks, which keep weights for
each kind, then in single-stream blocks, which share them. Latents here are (b, c, h, w) on the grid of image tokens, so
that masks and blending work as for a U-Net. A token has 128 channels: 2 x 2 positions of the VAE's 32.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from diffusers import AutoencoderKLFlux2, Flux2Transformer2DModel
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor
from transformers import Qwen2TokenizerFast, Qwen3ForCausalLM

from lipe_core import backbone
from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.diffusion.flow import FlowSchedule
from lipe_core.shapes import Latents, RowTimesteps

PATCH = 2
"""Latents of the VAE along each side of a token."""


@dataclass(frozen=True)
class Beside:
    """The tokens of images that the network reads beside the target, and their positions (`references`)."""

    tokens: Float[Tensor, "b m c"]
    ids: Int[Tensor, "m 4"]


@dataclass(frozen=True)
class Networks(backbone.BaseModel):
    """The parts of a loaded checkpoint."""

    family: ClassVar[str] = "flux2"

    transformer: Flux2Transformer2DModel
    vae: AutoencoderKLFlux2
    tokenizer: Qwen2TokenizerFast
    text_encoder: Qwen3ForCausalLM
    schedule: FlowSchedule

    @property
    def network(self) -> Any:
        """The transformer."""
        return self.transformer

    @property
    def networks(self) -> tuple[Any, ...]:
        """All networks of the checkpoint."""
        return self.transformer, self.vae, self.text_encoder

    @property
    def factor(self) -> int:
        """Pixels per token along each side: 16 in klein."""
        return int(PATCH * 2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def latent_channels(self) -> int:
        """Channels of a token."""
        return int(self.transformer.config.in_channels)

    @property
    def native_size(self) -> int:
        """Side in pixels of the square images that the network was trained on, as the VAE states it."""
        return int(self.vae.config.sample_size)


def predict(
    model: Networks,
    x_t: Latents,
    t: RowTimesteps,
    conditioning: Conditioning,
    beside: Beside | None = None,
) -> Latents:
    """The velocity eps - x_0 in float32, where image tokens also read those of `beside`. Gradients flow."""
    conditioning = conditioning.to(model.device, model.dtype)
    rows, columns = x_t.shape[2:]
    tokens, ids = rearrange(x_t.to(model.dtype), "b c h w -> b (h w) c"), image_ids(rows, columns).to(x_t.device)
    if beside is not None:
        tokens = torch.cat([tokens, beside.tokens.to(tokens).expand(len(tokens), -1, -1)], dim=1)
        ids = torch.cat([ids, beside.ids])
    velocity: Tensor = model.transformer(
        hidden_states=tokens,
        encoder_hidden_states=conditioning.prompt_embeds,
        timestep=model.schedule.level(t),
        img_ids=ids,
        txt_ids=text_ids(conditioning.prompt_embeds.shape[1]).to(x_t.device),
        return_dict=False,
    )[0]
    return rearrange(velocity[:, : rows * columns].float(), "b (h w) c -> b c h w", h=rows)


def image_ids(rows: int, columns: int, number: int = 0) -> Int[Tensor, "n 4"]:
    """The positions of image tokens on the axes (image, row, column, word); the generated image is number 0."""
    return torch.cartesian_prod(torch.tensor([number]), torch.arange(rows), torch.arange(columns), torch.arange(1))


def text_ids(length: int) -> Int[Tensor, "n 4"]:
    """The positions of text tokens on the same axes."""
    return torch.cartesian_prod(torch.arange(1), torch.arange(1), torch.arange(1), torch.arange(length))
