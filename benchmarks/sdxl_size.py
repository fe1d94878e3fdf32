"""A checkpoint of SDXL's public configuration with random weights, for measurements of cost.

The configuration is that of stabilityai/stable-diffusion-xl-base-1.0 (https://arxiv.org/abs/2307.01952, table 1).
`depth`, `width` and `side` reduce it in proportion, so that it also runs without a GPU.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from lipe_core.diffusion.schedule import NoiseSchedule
from lipe_core.sdxl import BaseModel
from menagerie.models import build_tokenizer
from menagerie.subjects import TOKEN

_HEAD = 64
_TEXT_LENGTH = 77
_VOCABULARY = 49408
_LARGEST_FILE = "2GB"  # a file is copied in memory while it is written
WORDS = (TOKEN, "a", "an", "photo", "of", "dog", "in", "the", "sitting", "standing", "asleep", "jumping", "backpack")


@dataclass(frozen=True)
class Scale:
    """The size of SDXL, or a smaller one.

    `depth`: transformer layers of the deepest level (10). `width`: channels of the outermost level (320), a multiple of
    32. `side`: side of the images in pixels (1024).
    """

    depth: int = 10
    width: int = 320
    side: int = 1024

    def __post_init__(self) -> None:
        if self.depth < 1 or self.width < 32 or self.width % 32 or self.side < 64 or self.side % 32:
            raise ValueError("depth must be 1 or more, width a multiple of 32, side a multiple of 32 from 64 on")

    def layers(self, count: int) -> int:
        """Scale a number of SDXL's layers to this depth."""
        return max(1, round(count * self.depth / 10))

    def channels(self, count: int) -> int:
        """Scale a number of SDXL's channels to this width. The result is a multiple of the head and group sizes."""
        return max(1, round(count * self.width / 320 / _HEAD)) * _HEAD


def write_checkpoint(
    folder: Path,
    scale: Scale = Scale(),
    dtype: torch.dtype = torch.float32,
    tokenizers: tuple[CLIPTokenizer, CLIPTokenizer] | None = None,
) -> Path:
    """Write a folder that diffusers and LIPE can load. The random weights are the same at every call.

    Without `tokenizers`, they know the words of the benchmark's prompts only; the embedding tables have SDXL's size.
    """
    torch.manual_seed(0)
    first_tokenizer, second_tokenizer = tokenizers or (build_tokenizer(WORDS, _TEXT_LENGTH),) * 2
    tokens = len(first_tokenizer)
    first, second = text_config(scale, tokens, 768, 12), text_config(scale, tokens, 1280, 32)
    with default_dtype(dtype):
        pipeline = StableDiffusionXLPipeline(
            vae=vae(scale),
            text_encoder=CLIPTextModel(first),
            text_encoder_2=CLIPTextModelWithProjection(second),
            tokenizer=first_tokenizer,
            tokenizer_2=second_tokenizer,
            unet=unet(scale, first.hidden_size, second.hidden_size),
            scheduler=EulerDiscreteScheduler(
                beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="leading",
                steps_offset=1, interpolation_type="linear",
            ),
            add_watermarker=False,
        )  # fmt: skip
    pipeline.save_pretrained(folder, max_shard_size=_LARGEST_FILE)
    return folder


def model(scale: Scale, device: torch.device, dtype: torch.dtype) -> BaseModel:
    """The networks with random weights, made on the device."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(WORDS, _TEXT_LENGTH)
    first, second = (text_config(scale, len(tokenizer), width, layers) for width, layers in ((768, 12), (1280, 32)))
    with device, default_dtype(dtype):
        network, autoencoder = unet(scale, first.hidden_size, second.hidden_size), vae(scale)
        encoders = CLIPTextModel(first), CLIPTextModelWithProjection(second)
    for each in (network, autoencoder, *encoders):
        each.requires_grad_(False).eval()
    return BaseModel(
        unet=network, vae=autoencoder, tokenizers=(tokenizer, tokenizer), text_encoders=encoders,
        schedule=NoiseSchedule.scaled_linear(), prediction_type="epsilon", zero_empty_prompt=True, checkpoint="random",
        revision=None, fingerprint="", device=device, dtype=dtype,
    )  # fmt: skip


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Make new weights in this precision, since float32 weights of SDXL's size take 14 GB."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def text_config(scale: Scale, tokens: int, width: int, layers: int) -> CLIPTextConfig:
    """The configuration of a text encoder."""
    width = scale.channels(width)
    return CLIPTextConfig(
        vocab_size=_VOCABULARY, hidden_size=width, intermediate_size=4 * width, projection_dim=width,
        num_hidden_layers=max(2, scale.layers(layers)), num_attention_heads=width // _HEAD,
        max_position_embeddings=_TEXT_LENGTH, hidden_act="gelu" if layers == 32 else "quick_gelu",
        bos_token_id=tokens - 2, eos_token_id=tokens - 1, pad_token_id=tokens - 1,
    )  # fmt: skip


def unet(scale: Scale, first: int, second: int) -> UNet2DConditionModel:
    """The UNet for text encoders with the widths `first` and `second`."""
    widths = tuple(scale.channels(320 * times) for times in (1, 2, 4))
    return UNet2DConditionModel(
        sample_size=scale.side // 8,
        block_out_channels=widths,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=2,
        transformer_layers_per_block=(1, scale.layers(2), scale.layers(10)),
        attention_head_dim=tuple(width // _HEAD for width in widths),
        cross_attention_dim=first + second,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=second + 6 * 256,
    )


def vae(scale: Scale) -> AutoencoderKL:
    """The VAE."""
    return AutoencoderKL(
        block_out_channels=tuple(max(32, width * scale.width // 320 // 32 * 32) for width in (128, 256, 512, 512)),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        sample_size=scale.side,
        scaling_factor=0.13025,
        force_upcast=True,
    )
