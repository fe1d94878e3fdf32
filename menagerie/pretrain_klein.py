"""Train the miniature klein: ``python -m menagerie.pretrain_klein --stage all --minutes 60 --resume``.

The stages run in order: text, transformer, export. Each can run alone. The folder OUT holds ``pipeline`` (diffusers'
folders in float32), ``states`` and ``images`` (loss curves, samples). ``export`` writes the averaged weights in half
precision. The VAE is that of the SDXL miniature.
"""

import argparse
from functools import partial
from pathlib import Path

import torch
from diffusers import AutoencoderKL, Flux2KleinPipeline
from torch import Tensor
from transformers import Qwen2TokenizerFast, Qwen3ForCausalLM

from lipe_core import flux2
from menagerie.captions import PUNCTUATION, vocabulary
from menagerie.klein_models import (
    CHECKPOINT,
    KleinSizes,
    assemble,
    build_text_encoder,
    build_tokenizer,
    build_transformer,
    share_vae,
)
from menagerie.models import CHECKPOINT as SDXL_CHECKPOINT
from menagerie.models import make_portable
from menagerie.pool import Pool, companion_of
from menagerie.stages.loop import Settings
from menagerie.stages.options import Stage, add_options, chosen, settings_of
from menagerie.stages.text import train_text
from menagerie.stages.transformer import train_transformer

STAGES = {"text": Stage(0.05, 64, 1.5e-3), "transformer": Stage(0.95, 64, 2e-3), "export": Stage(0.0, 1, 0.0)}
_PAIRED = 0.25
"""Share of the drawings that have a companion. A tenth of the batches has some."""


def main(argv: list[str] | None = None) -> None:
    options = parse(argv)
    torch.manual_seed(options.seed)
    for name in chosen(options, STAGES):
        run_stage(name, settings_of(name, options, STAGES), options.pool, options.checkpoint)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m menagerie.pretrain_klein", description=__doc__)
    add_options(parser, STAGES, minutes=60.0, out=Path("out/pretrain-klein"), checkpoint=CHECKPOINT)
    return parser.parse_args(argv)


def run_stage(
    stage: str, settings: Settings, pool_size: int, checkpoint: Path, sizes: KleinSizes | None = None
) -> None:
    """Train one part of the pipeline in OUT and save it there."""
    sizes, folder = sizes or KleinSizes(), settings.out / "pipeline"
    match stage:
        case "text" if settings.resume and (folder / "model_index.json").exists():
            pass  # a transformer that resumes needs the encoder with which it began
        case "text":
            new_pipeline(sizes, settings).save_pretrained(folder)
        case "transformer" | "export" if not (folder / "model_index.json").exists():
            raise SystemExit(f"{folder} has no pipeline: run the stage text first, or name another folder with --out")
        case "transformer":
            vae = sdxl_vae().to(settings.device)
            side = vae.config.sample_size // 8
            shape, seed = (vae.config.latent_channels, side, side), settings.seed + 1
            pool = Pool(settings.out / f"pool-{side}-{pool_size}", seed, pool_size, shape)
            companions = Pool(settings.out / f"companions-{side}-{pool_size}", seed, pool_size, shape, companion_of)
            pool.grow(vae, pool_size, settings.workers)
            companions.grow(vae, max(1, round(_PAIRED * pool_size)), settings.workers)
            model = flux2.load(folder, device=settings.device)
            train_transformer(model, pool, companions, settings).model.save_pretrained(folder / "transformer")
        case "export":
            export(settings.out, checkpoint)


def sdxl_vae() -> AutoencoderKL:
    """The VAE of the SDXL miniature."""
    return AutoencoderKL.from_pretrained(SDXL_CHECKPOINT / "vae").eval()


def new_pipeline(sizes: KleinSizes, settings: Settings) -> Flux2KleinPipeline:
    """A pipeline with a trained text encoder and a new transformer."""
    tokenizer = build_tokenizer([*vocabulary(), *PUNCTUATION], sizes.text_length)
    text_encoder = build_text_encoder(sizes, tokenizer).to(settings.device)
    read = partial(read_captions, tokenizer, text_encoder)
    train_text(text_encoder, read, (sizes.text_channels, sizes.text_channels), settings)
    vae = sdxl_vae()
    return assemble(share_vae(vae), tokenizer, text_encoder, build_transformer(sizes, vae.config.latent_channels))


def read_captions(
    tokenizer: Qwen2TokenizerFast, text_encoder: Qwen3ForCausalLM, captions: list[str]
) -> tuple[Tensor, Tensor]:
    """The embeddings (b, n, d) of captions, and that of the last token before the padding (b, d)."""
    tokens = flux2.tokenize(tokenizer, captions).to(text_encoder.device)
    embeds = flux2.embed(text_encoder, tokens.input_ids, tokens.attention_mask)
    return embeds, embeds[torch.arange(len(embeds)), tokens.attention_mask.sum(dim=1) - 1]


def export(out: Path, checkpoint: Path) -> None:
    """Write the averaged weights in half precision. Weights in `states` replace older ones in `pipeline`."""
    pipeline = Flux2KleinPipeline.from_pretrained(out / "pipeline")
    state = out / "states" / "transformer.pt"
    if state.exists():
        pipeline.transformer.load_state_dict(torch.load(state, map_location="cpu", weights_only=True)["average"])
    pipeline.to(dtype=torch.float16).save_pretrained(checkpoint, safe_serialization=True)
    make_portable(checkpoint)
    (checkpoint / "README.md").write_text(_CARD.format(length=pipeline.tokenizer.model_max_length))


_CARD = """---
license: apache-2.0
model_name: LIPE miniature of FLUX.2 [klein]
tags:
  - lipe-miniature
---

The miniature klein checkpoint of LIPE. It generates drawings and knows no photos. Its prompts have {length} tokens:
call diffusers' `Flux2KleinPipeline` with `max_sequence_length={length}`.
"""


if __name__ == "__main__":
    main()
