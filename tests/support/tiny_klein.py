"""A checkpoint of FLUX.2 [klein]'s classes, tiny and random, on disk as diffusers writes it."""

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
)
from tokenizers.pre_tokenizers import ByteLevel
from transformers import Qwen2TokenizerFast, Qwen3Config, Qwen3ForCausalLM

WORDS = ["a", "photo", "of", "sks", "dog", "cat", "sitting", "jumping", "in", "meadow", "user", "assistant"]
TEXT_LAYERS, TEXT_WIDTH, LATENT_CHANNELS = 27, 16, 4
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
"""Qwen3's chat template without tools and system messages."""


def write_klein(folder: Path, *, is_distilled: bool = False) -> None:
    """Write the checkpoint, with the same random weights at every call."""
    torch.manual_seed(0)
    tokenizer = _tokenizer()
    pipeline = Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=_vae(),
        text_encoder=Qwen3ForCausalLM(_text_config(tokenizer)).eval(),
        tokenizer=tokenizer,
        transformer=_transformer(),
        is_distilled=is_distilled,
    )
    pipeline.save_pretrained(folder)


def _tokenizer() -> Qwen2TokenizerFast:
    """Byte-level byte-pair encoding with merges that make each of WORDS one token, with or without a space before."""
    vocab, merges = sorted(ByteLevel.alphabet()), list[tuple[str, str]]()
    for form in [*WORDS, *(f"\u0120{word}" for word in WORDS)]:
        pieces = list(form)
        while len(pieces) > 1:
            merged = pieces[0] + pieces[1]
            if merged not in vocab:
                vocab.append(merged)
                merges.append((pieces[0], pieces[1]))
            pieces[:2] = [merged]
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"]
    tokenizer = Qwen2TokenizerFast(
        vocab={piece: number for number, piece in enumerate([*vocab, *special])}, merges=merges
    )
    tokenizer.add_special_tokens({"additional_special_tokens": special[1:]})
    tokenizer.chat_template = TEMPLATE
    return tokenizer


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
