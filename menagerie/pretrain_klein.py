"""Train the miniature klein: ``python -m menagerie.pretrain_klein --stage all --minutes 60 --resume``.

The stages run in order: text, transformer, export. Each can run alone. The folder OUT holds ``pipeline`` (diffusers'
folders in float32), ``states`` and ``images`` (loss curves, samples). ``export`` writes the averaged weights in half
precision. The VAE is that of the SDXL miniature.
"""

import argparse
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
from menagerie.pool import Pool
from menagerie.stages.loop import Settings
from menagerie.stages.text import train_text
from menagerie.stages.transformer import train_transformer

#: For each stage: its share of the minutes, its batch size and its peak learning rate.
STAGES = {"text": (0.05, 64, 1.5e-3), "transformer": (0.95, 64, 2e-3), "export": (0.0, 1, 0.0)}


def main(argv: list[str] | None = None) -> None:
    options = parse(argv)
    torch.manual_seed(options.seed)
    names = list(STAGES) if options.stage == "all" else [options.stage]
    for name in names:
        share, batch, lr = STAGES[name]
        settings = Settings(
            out=options.out,
            minutes=options.minutes * (1.0 if len(names) == 1 else share),
            steps=options.steps,
            batch=options.batch or batch,
            lr=options.lr or lr,
            device=options.device,
            resume=options.resume,
            seed=options.seed,
            workers=options.workers,
        )
        run_stage(name, settings, options.pool, options.checkpoint)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m menagerie.pretrain_klein", description=__doc__)
    parser.add_argument("--stage", choices=[*STAGES, "all"], default="all")
    parser.add_argument(
        "--minutes", type=float, default=60.0, help="wall-clock time of the stage, or of all stages together"
    )
    parser.add_argument("--steps", type=int, help="stop a stage after this number of steps")
    parser.add_argument("--out", type=Path, default=Path("out/pretrain-klein"), help="folder of all states and results")
    parser.add_argument("--resume", action="store_true", help="continue from the states in OUT")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT, help="folder that export writes")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, help="batch size, in place of the stage's own")
    parser.add_argument("--lr", type=float, help="peak learning rate, in place of the stage's own")
    parser.add_argument("--pool", type=int, default=100_000, help="number of drawings that are encoded")
    parser.add_argument(
        "--workers", type=int, default=2, help="processes that render drawings and, for a GPU, make batches"
    )
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


def run_stage(
    stage: str, settings: Settings, pool_size: int, checkpoint: Path, sizes: KleinSizes | None = None
) -> None:
    """Train one part of the pipeline in OUT and save it there."""
    sizes, folder = sizes or KleinSizes(), settings.out / "pipeline"
    match stage:
        case "text":
            new_pipeline(sizes, settings).save_pretrained(folder)
        case "transformer":
            vae = sdxl_vae().to(settings.device)
            side = vae.config.sample_size // 8
            shape = (vae.config.latent_channels, side, side)
            pool = Pool(settings.out / f"pool-{side}-{pool_size}", settings.seed + 1, pool_size, shape)
            pool.grow(vae, pool_size, settings.workers)
            model = flux2.load(folder, device=settings.device)
            train_transformer(model, pool, settings).model.save_pretrained(folder / "transformer")
        case "export":
            export(settings.out, checkpoint)


def sdxl_vae() -> AutoencoderKL:
    """The VAE of the SDXL miniature."""
    return AutoencoderKL.from_pretrained(SDXL_CHECKPOINT / "vae").eval()


def new_pipeline(sizes: KleinSizes, settings: Settings) -> Flux2KleinPipeline:
    """A pipeline with a trained text encoder and a new transformer."""
    tokenizer = build_tokenizer([*vocabulary(), *PUNCTUATION], sizes.text_length)
    text_encoder = build_text_encoder(sizes, tokenizer).to(settings.device)
    width = 3 * sizes.text_width
    train_text(
        text_encoder, lambda captions: read_captions(tokenizer, text_encoder, captions), (width, width), settings
    )
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
    (checkpoint / "README.md").write_text(_CARD)


_CARD = """---
license: apache-2.0
model_name: LIPE miniature of FLUX.2 [klein]
tags:
  - lipe-miniature
---

The miniature klein checkpoint of LIPE. It generates drawings and knows no photos. Its prompts have 56 tokens: call
diffusers' `Flux2KleinPipeline` with `max_sequence_length=56`.
"""


if __name__ == "__main__":
    main()
