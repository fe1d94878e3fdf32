"""FLUX.2 [klein]'s networks with random weights, made on the device, at the true size of base 4B or smaller.

Nothing is written to a disk, so that a machine without the weights measures their cost in minutes.
"""

from dataclasses import dataclass

import torch
from diffusers import AutoencoderKLFlux2, Flux2Transformer2DModel
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen3Config, Qwen3ForCausalLM

from benchmarks.flux2_size import TEXT, TEXT_LENGTH, TRANSFORMER
from benchmarks.sdxl_size import WORDS, default_dtype
from lipe_core.checkpoint.flux2_layout import TEXT_LAYERS
from lipe_core.diffusion.flow import FlowSchedule
from lipe_core.flux2 import BaseModel
from menagerie.klein_models import build_tokenizer


@dataclass(frozen=True)
class Scale:
    """The size of klein base 4B, or a smaller one.

    `double` and `single`: blocks of the transformer (5 and 20). `heads`: its attention heads of 128 channels (24).
    `text_width`: channels of the text encoder (2560), a multiple of 80. `side`: side of the images in pixels (1024).
    """

    double: int = 5
    single: int = 20
    heads: int = 24
    text_width: int = 2560
    side: int = 1024

    def __post_init__(self) -> None:
        if min(self.double, self.single, self.heads) < 1 or self.text_width < 80 or self.text_width % 80:
            raise ValueError("double, single and heads must be 1 or more, text_width a multiple of 80")
        if self.side < 64 or self.side % 64:
            raise ValueError("side must be a multiple of 64")

    @property
    def is_full(self) -> bool:
        """Whether it is the size of klein base 4B."""
        return self == Scale()


def transformer(scale: Scale) -> Flux2Transformer2DModel:
    """The transformer on the present device."""
    sizes = {"num_layers": scale.double, "num_single_layers": scale.single, "num_attention_heads": scale.heads}
    return Flux2Transformer2DModel(**TRANSFORMER | sizes | {"joint_attention_dim": len(TEXT_LAYERS) * scale.text_width})


def text_encoder(scale: Scale, tokens: int) -> Qwen3ForCausalLM:
    """The text encoder for a tokenizer of so many tokens; its table has klein's size at the full width only."""
    share = scale.text_width / TEXT["hidden_size"]
    sizes = {
        "hidden_size": scale.text_width,
        "intermediate_size": int(TEXT["intermediate_size"] * share),
        "num_attention_heads": max(1, int(TEXT["num_attention_heads"] * share)),
        "num_key_value_heads": max(1, int(TEXT["num_key_value_heads"] * share)),
        "vocab_size": TEXT["vocab_size"] if share == 1 else tokens,
        "num_hidden_layers": TEXT["num_hidden_layers"] if share == 1 else max(TEXT_LAYERS),
    }
    return Qwen3ForCausalLM(Qwen3Config(**TEXT | sizes))


def vae(scale: Scale) -> AutoencoderKLFlux2:
    """The VAE for images of this side."""
    widths = tuple(max(32, width * scale.heads // 24 // 32 * 32) for width in (128, 256, 512, 512))
    return AutoencoderKLFlux2(block_out_channels=widths, sample_size=scale.side)


def model(scale: Scale, device: torch.device, dtype: torch.dtype) -> BaseModel:
    """The networks with random weights, made on the device."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(WORDS)
    with device, default_dtype(dtype):
        parts = transformer(scale), vae(scale), text_encoder(scale, len(tokenizer))
    for each in parts:
        each.requires_grad_(False).eval()
    network, autoencoder, language_model = parts
    return BaseModel(
        transformer=network, vae=autoencoder, tokenizer=tokenizer, text_encoder=language_model,
        schedule=FlowSchedule(), prediction_type="flow", checkpoint="random", revision=None, fingerprint="",
        device=device, dtype=dtype,
    )  # fmt: skip


def flops(scale: Scale) -> tuple[int, int]:
    """FLOPs of one evaluation of one row, and of it with the gradients of a LoRA's step, on the meta device.

    A step's own products of the LoRA, less than a hundredth, are not counted.
    """
    tokens = (scale.side // 16) ** 2
    with torch.device("meta"):
        network = transformer(scale).requires_grad_(False)
        inputs = {
            "hidden_states": torch.empty(1, tokens, TRANSFORMER["in_channels"]),
            "encoder_hidden_states": torch.empty(1, TEXT_LENGTH, len(TEXT_LAYERS) * scale.text_width),
            "timestep": torch.empty(1),
            "img_ids": torch.empty(tokens, 4),
            "txt_ids": torch.empty(TEXT_LENGTH, 4),
        }
        with torch.no_grad(), FlopCounterMode(display=False) as evaluation:
            network(**inputs)
        inputs["hidden_states"].requires_grad_()
        with FlopCounterMode(display=False) as step:
            network(**inputs, return_dict=False)[0].sum().backward()
    return evaluation.get_total_flops(), step.get_total_flops()
