"""A checkpoint of SDXL's classes, tiny and random, on disk as diffusers writes it."""

import json
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

TEXT_LENGTH = 24
WORDS = [
    "a",
    "photo",
    "of",
    "sks",
    "dog",
    "cat",
    "toy",
    "robot",
    "sitting",
    "jumping",
    "in",
    "meadow",
    ",",
    ".",
]


def write_checkpoint(
    folder: Path,
    *,
    latent_channels: int = 4,
    prediction_type: str = "epsilon",
    vae_config: dict[str, object] | None = None,
    text_length: int = TEXT_LENGTH,
) -> None:
    """Write the checkpoint, with the same random weights at every call."""
    torch.manual_seed(0)
    tokenizer = _tokenizer(text_length)
    pipeline = StableDiffusionXLPipeline(
        vae=_vae(latent_channels, vae_config or {}),
        text_encoder=CLIPTextModel(_text_config(tokenizer, width=16)).eval(),
        text_encoder_2=CLIPTextModelWithProjection(_text_config(tokenizer, width=24)).eval(),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=_unet(latent_channels, text_width=16 + 24, pooled_width=24),
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            prediction_type=prediction_type,
            timestep_spacing="leading",
            steps_offset=1,
        ),
        add_watermarker=False,
    )
    pipeline.save_pretrained(folder)
    # SDXL's own scheduler config has this key, which EulerDiscreteScheduler ignores and does not write.
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"set_alpha_to_one": False}))


def _tokenizer(text_length: int) -> CLIPTokenizer:
    """Byte-pair encoding with merges that make each of WORDS one token; other words are split."""
    letters = "abcdefghijklmnopqrstuvwxyz,."
    vocab = ["<|startoftext|>", "<|endoftext|>", *letters, *(letter + "</w>" for letter in letters)]
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        pieces = [*word[:-1], word[-1] + "</w>"]
        while len(pieces) > 1:
            merged = pieces[0] + pieces[1]
            if merged not in vocab:
                vocab.append(merged)
                merges.append((pieces[0], pieces[1]))
            pieces[:2] = [merged]
    return CLIPTokenizer(
        vocab={piece: number for number, piece in enumerate(vocab)},
        merges=merges,
        model_max_length=text_length,
    )


def _text_config(tokenizer: CLIPTokenizer, width: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _vae(latent_channels: int, config: dict[str, object]) -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        layers_per_block=1,
        latent_channels=latent_channels,
        norm_num_groups=4,
        sample_size=64,
        **{"scaling_factor": 0.5, **config},
    ).eval()


def _unet(latent_channels: int, text_width: int, pooled_width: int) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=32,
        in_channels=latent_channels,
        out_channels=latent_channels,
        block_out_channels=(8, 16),
        layers_per_block=1,
        transformer_layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=text_width,
        attention_head_dim=2,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=pooled_width + 6 * 4,
        norm_num_groups=4,
    ).eval()
