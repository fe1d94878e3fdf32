"""The miniature of FLUX.2 [klein]: its own classes in sizes for a CPU, and the folder from which diffusers loads them.

Images are 128 x 128, as those of the SDXL miniature, whose VAE it shares: latents of 16 x 16 with 16 channels, in
patches of 2 x 2, which makes 64 image tokens. A prompt has 56 tokens; plain diffusers needs `max_sequence_length=56`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
)
from tokenizers.pre_tokenizers import ByteLevel
from torch.nn.functional import silu
from transformers import Qwen2TokenizerFast, Qwen3Config, Qwen3ForCausalLM

from lipe_core.checkpoint.flux2_layout import TEXT_LAYERS
from menagerie.byte_pairs import merge_rules

CHECKPOINT = Path(__file__).parent / "klein"
_RIDGE = 1e-4
_SPACE = "\u0120"  # a space before a word, in byte-level BPE
_BREAK = "\u010a"  # a line break
_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
"""Qwen3's chat template without tools and system messages."""
_SHARED = (
    "block_out_channels", "down_block_types", "up_block_types", "latent_channels", "layers_per_block",
    "norm_num_groups", "mid_block_add_attention",
)  # fmt: skip
"""The settings of a VAE that both classes have."""


@dataclass(frozen=True)
class KleinSizes:
    """The sizes of the miniature. `double` and `single` are its blocks, `heads` the attention heads of each.

    `rope_base` is that of the rotary positions: klein's own of 2000 leaves only two of six frequencies to a grid of
    8 x 8 tokens.
    """

    text_length: int = 56
    text_width: int = 48
    double: int = 2
    single: int = 8
    heads: int = 4
    head_width: int = 48
    rope_base: int = 16

    @property
    def text_channels(self) -> int:
        """The channels of a text token: the concatenated hidden states."""
        return len(TEXT_LAYERS) * self.text_width

    @property
    def rope_axes(self) -> tuple[int, int, int, int]:
        """The channels of a head that tell image, row, column and word apart."""
        part = self.head_width // 8 * 2
        return self.head_width - 3 * part, part, part, part


def share_vae(vae: AutoencoderKL) -> AutoencoderKLFlux2:
    """FLUX.2's VAE with the weights of the SDXL miniature's.

    The latents of that one have mean 0 and deviation 1, which are the statistics of a new batch normalization.
    """
    own = AutoencoderKLFlux2(**{name: vae.config[name] for name in _SHARED}, sample_size=vae.config.sample_size)
    own.load_state_dict(vae.state_dict() | own.bn.state_dict(prefix="bn."))
    return own


def build_tokenizer(words: Iterable[str], length: int | None = None) -> Qwen2TokenizerFast:
    """A tokenizer of Qwen's class: each of the words is one token, with or without a space before; others are bytes.

    `length` is the greatest number of tokens, with those of the chat template.
    """
    forms = [form for word in words for form in (word, f"{_SPACE}{word}")]
    merges = merge_rules([*forms, "user", "assistant", 2 * _BREAK])
    tokens = [*sorted(ByteLevel.alphabet()), *("".join(pair) for pair in merges), *_SPECIAL]
    tokenizer = Qwen2TokenizerFast(
        vocab={token: number for number, token in enumerate(tokens)},
        merges=merges,
        **({} if length is None else {"model_max_length": length}),
    )
    tokenizer.add_special_tokens({"additional_special_tokens": list(_SPECIAL[1:])})
    tokenizer.chat_template = _TEMPLATE
    return tokenizer


def build_text_encoder(sizes: KleinSizes, tokenizer: Qwen2TokenizerFast) -> Qwen3ForCausalLM:
    """A language model that is narrow but as deep as klein's pipeline reads it."""
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=sizes.text_width,
            intermediate_size=2 * sizes.text_width,
            num_hidden_layers=max(TEXT_LAYERS),
            num_attention_heads=sizes.text_width // 16,
            num_key_value_heads=1,
            head_dim=16,
            max_position_embeddings=512,
            tie_word_embeddings=True,
        )
    )


def build_transformer(sizes: KleinSizes, latent_channels: int) -> Flux2Transformer2DModel:
    """klein's transformer with new weights (`initialize`). A token has the channels of 2 x 2 latents."""
    transformer = Flux2Transformer2DModel(
        in_channels=4 * latent_channels,
        num_layers=sizes.double,
        num_single_layers=sizes.single,
        attention_head_dim=sizes.head_width,
        num_attention_heads=sizes.heads,
        joint_attention_dim=sizes.text_channels,
        timestep_guidance_channels=64,
        axes_dims_rope=sizes.rope_axes,
        rope_theta=sizes.rope_base,
        guidance_embeds=False,
    )
    initialize(transformer)
    return transformer


@torch.no_grad()
def initialize(transformer: Flux2Transformer2DModel) -> None:
    """Let all blocks add to the image from the first step on, alike at all noise levels, and predict zero.

    diffusers' layers begin with gates of about 0.04 and of random sign, which all blocks of a kind share. There are no
    biases, so that a gate of 1 is the least-squares solution over the embeddings of the noise levels.
    """
    embedder = transformer.time_guidance_embed
    levels = torch.linspace(0, 1000, 257)
    embedder.timestep_embedder.linear_2.weight /= embedder(levels, None).square().mean().sqrt()
    features = silu(embedder(levels, None))
    damped = features.mT @ features / len(features) + _RIDGE * torch.eye(features.shape[1])
    to_one = torch.linalg.solve(damped, features.mean(dim=0))
    for modulation in (
        transformer.double_stream_modulation_img,
        transformer.double_stream_modulation_txt,
        transformer.single_stream_modulation,
    ):
        modulation.linear.weight.zero_()
        parts = modulation.linear.weight.view(-1, 3, transformer.inner_dim, len(to_one))
        parts[:, 2] = to_one  # after shift and scale
    transformer.norm_out.linear.weight.zero_()
    transformer.proj_out.weight.zero_()


def assemble(
    vae: AutoencoderKLFlux2,
    tokenizer: Qwen2TokenizerFast,
    text_encoder: Qwen3ForCausalLM,
    transformer: Flux2Transformer2DModel,
) -> Flux2KleinPipeline:
    """The pipeline of the parts, as `save_pretrained` writes it and plain diffusers loads it."""
    return Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        transformer=transformer,
    )
