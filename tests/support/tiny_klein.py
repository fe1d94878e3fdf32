"""A checkpoint of FLUX.2 [klein]'s classes, tiny and random, on disk as diffusers writes it."""

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
)
from transformers import Qwen2TokenizerFast, Qwen3Config, Qwen3ForCausalLM

from menagerie.klein_models import build_tokenizer

WORDS = ["a", "photo", "of", "sks", "dog", "cat", "sitting", "jumping", "in", "meadow", "user", "assistant"]
TEXT_LAYERS, TEXT_WIDTH, LATENT_CHANNELS = 27, 16, 4


def write_klein(folder: Path, *, is_distilled: bool = False) -> None:
    """Write the checkpoint, with the same random weights at every call."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(WORDS)
    pipeline = Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=_vae(),
        text_encoder=Qwen3ForCausalLM(_text_config(tokenizer)).eval(),
        tokenizer=tokenizer,
        transformer=_transformer(),
        is_distilled=is_distilled,
    )
    pipeline.save_pretrained(folder)


def _text_config(tokenizer: Qwen2TokenizerFast) -> Qwen3Config:
    return Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=2 * TEXT_WIDTH,
        num_hidden_layers=TEXT_LAYERS,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=512,
        tie_word_embeddings=True,
    )


def _vae() -> AutoencoderKLFlux2:
    vae = AutoencoderKLFlux2(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=4,
        sample_size=64,
    ).eval()
    vae.bn.running_mean.normal_()
    vae.bn.running_var.uniform_(0.5, 2)
    return vae


def _transformer() -> Flux2Transformer2DModel:
    return Flux2Transformer2DModel(
        in_channels=4 * LATENT_CHANNELS,
        num_layers=2,
        num_single_layers=3,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=3 * TEXT_WIDTH,
        timestep_guidance_channels=16,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    ).eval()
