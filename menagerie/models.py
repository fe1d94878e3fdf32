"""The miniature models: SDXL's own classes in sizes for a CPU, and the folder from which diffusers loads them.

Images are 128 x 128, latents 16 x 16 with 16 channels. All classes are diffusers' and transformers' own: code that runs
on this folder also runs on SDXL. SDXL's pipeline reads `latents_mean` and `latents_std` for four channels only, so
`normalize_latents` folds the latents' mean and deviation into two convolutions of the VAE.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from menagerie.byte_pairs import merge_rules
from menagerie.vision_models import VisionSizes

CHECKPOINT = Path(__file__).parent / "checkpoint"
_START, _END = "<|startoftext|>", "<|endoftext|>"


@dataclass(frozen=True)
class Sizes:
    """All sizes of the miniature. Widths are the channels of each level, outermost first."""

    image_size: int = 128
    latent_channels: int = 16
    vae_widths: tuple[int, ...] = (16, 32, 64, 128)
    text_widths: tuple[int, int] = (96, 128)
    text_layers: int = 3
    text_length: int = 48
    unet_widths: tuple[int, ...] = (48, 96, 192)
    unet_layers: int = 1
    head_width: int = 48
    time_width: int = 32
    vision: VisionSizes = field(default_factory=VisionSizes)

    @property
    def latent(self) -> int:
        """The side of the latents: every level of the VAE but the last halves the side."""
        return self.image_size >> (len(self.vae_widths) - 1)


def build_vae(sizes: Sizes) -> AutoencoderKL:
    """A convolutional VAE without attention, which would cost too much at 128 x 128 on a CPU."""
    levels = len(sizes.vae_widths)
    return AutoencoderKL(
        block_out_channels=sizes.vae_widths,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        latent_channels=sizes.latent_channels,
        layers_per_block=1,
        norm_num_groups=1,
        mid_block_add_attention=False,
        sample_size=sizes.image_size,
        scaling_factor=1.0,
    )


@torch.no_grad()
def normalize_latents(vae: AutoencoderKL, mean: Tensor, deviation: Tensor) -> None:
    """Fold z -> (z - mean) / deviation into the encoder's last layer, and its inverse into the decoder's first.

    `mean` and `deviation` are (channels,).
    """
    encode, decode = vae.quant_conv, vae.post_quant_conv
    channels = mean.numel()
    encode.weight[:channels] /= deviation[:, None, None, None]
    encode.bias[:channels] = (encode.bias[:channels] - mean) / deviation
    encode.bias[channels:] -= 2 * deviation.log()  # the second half is the posterior's log variance
    decode.bias += decode.weight[:, :, 0, 0] @ mean
    decode.weight *= deviation[None, :, None, None]
    vae.register_to_config(scaling_factor=1.0)


def build_tokenizer(words: Iterable[str], length: int) -> CLIPTokenizer:
    """A CLIP tokenizer that has one token for each of `words`, and splits any other text into bytes."""
    merges = merge_rules((*word[:-1], f"{word[-1]}</w>") for word in words)
    letters = _byte_letters()
    tokens = [
        *letters,
        *(f"{letter}</w>" for letter in letters),
        *("".join(pair) for pair in merges),
        _START,
        _END,
    ]
    return CLIPTokenizer(
        vocab={token: k for k, token in enumerate(tokens)},
        merges=merges,
        model_max_length=length,
    )


def _byte_letters() -> list[str]:
    """The printable characters that represent the 256 bytes in byte-level BPE (GPT-2), in its order."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    shifted = [256 + k for k in range(256 - len(plain))]
    return [chr(code) for code in (*plain, *shifted)]


def build_text_encoders(sizes: Sizes, tokenizer: CLIPTokenizer) -> tuple[CLIPTextModel, CLIPTextModelWithProjection]:
    """SDXL's two text encoders. The first gives token embeddings, the second also a pooled embedding."""

    def config(width: int) -> CLIPTextConfig:
        return CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=4 * width,
            projection_dim=width,
            num_hidden_layers=sizes.text_layers,
            num_attention_heads=width // 32,
            max_position_embeddings=sizes.text_length,
            hidden_act="gelu",
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )

    first, second = sizes.text_widths
    return CLIPTextModel(config(first)), CLIPTextModelWithProjection(config(second))


def build_unet(sizes: Sizes) -> UNet2DConditionModel:
    """SDXL's UNet with cross-attention at every level: the latents are 256 tokens at most."""
    levels = len(sizes.unet_widths)
    return UNet2DConditionModel(
        sample_size=sizes.latent,
        in_channels=sizes.latent_channels,
        out_channels=sizes.latent_channels,
        block_out_channels=sizes.unet_widths,
        down_block_types=("CrossAttnDownBlock2D",) * levels,
        up_block_types=("CrossAttnUpBlock2D",) * levels,
        layers_per_block=sizes.unet_layers,
        # diffusers reads attention_head_dim as the number of heads of each level, as SDXL's own config does.
        attention_head_dim=tuple(width // sizes.head_width for width in sizes.unet_widths),
        cross_attention_dim=sum(sizes.text_widths),
        use_linear_projection=True,
        norm_num_groups=16,
        addition_embed_type="text_time",
        addition_time_embed_dim=sizes.time_width,
        projection_class_embeddings_input_dim=sizes.text_widths[1] + 6 * sizes.time_width,
    )


def build_scheduler() -> EulerDiscreteScheduler:
    """SDXL's noise schedule, for a model that predicts v (Salimans and Ho 2022, section 4)."""
    return EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        timestep_spacing="leading",
        steps_offset=1,
        interpolation_type="linear",
    )


def assemble(
    vae: AutoencoderKL,
    tokenizer: CLIPTokenizer,
    text_encoders: tuple[CLIPTextModel, CLIPTextModelWithProjection],
    unet: UNet2DConditionModel,
) -> StableDiffusionXLPipeline:
    """The pipeline of the parts, as `save_pretrained` writes it and plain diffusers loads it.

    The empty prompt is encoded, not replaced by zeros, because caption dropout trains on the encoded one.
    """
    return StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=text_encoders[0],
        text_encoder_2=text_encoders[1],
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=build_scheduler(),
        force_zeros_for_empty_prompt=False,
        add_watermarker=False,
    )


def encode_tokens(text_encoders: tuple[nn.Module, nn.Module], ids: Tensor) -> tuple[Tensor, Tensor]:
    """SDXL's inputs from token ids (b, n): embeddings (b, n, d) of both encoders, and the pooled embedding (b, p)."""
    first = text_encoders[0](ids, output_hidden_states=True)
    second = text_encoders[1](ids, output_hidden_states=True)
    return torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1), second.text_embeds


def make_portable(checkpoint: Path) -> None:
    """Remove local paths from the configurations of a written pipeline, and let all parts load in float32."""
    for config in checkpoint.glob("*/config.json"):
        values = json.loads(config.read_text())
        values.pop("_name_or_path", None)  # a local path
        if config.parent.name.startswith("text_encoder"):
            # transformers loads weights in the precision of the config, diffusers in float32: both must be the same.
            values["dtype"] = "float32"
        config.write_text(json.dumps(values, indent=2) + "\n")
