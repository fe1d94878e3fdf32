"""Train the miniature checkpoint: ``python -m menagerie.pretrain --stage all --minutes 180 --resume``.

The stages run in order: vae, text, unet, decoder, probe, clip, dinov2, captioner, faces, export, wholeness. Each can
run alone, and continues from its saved state with ``--resume``. The folder OUT holds ``pipeline`` (diffusers' folders
in float32, and the face generator), ``vision`` (judges and captioner, transformers' folders), ``states`` and ``images``
(loss curves, reconstructions, samples). ``export`` writes the averaged weights in half precision.
"""

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from lipe_core import sdxl
from lipe_core.methods.mystyle import face_generator
from lipe_core.methods.mystyle.face_generator import save_face_generator
from lipe_core.methods.mystyle.stylegan2 import Generator
from menagerie.captions import PUNCTUATION, vocabulary
from menagerie.models import (
    CHECKPOINT,
    Sizes,
    assemble,
    build_text_encoders,
    build_tokenizer,
    build_unet,
    build_vae,
    encode_tokens,
    make_portable,
)
from menagerie.pool import Pool
from menagerie.stages.decoder import train_decoder
from menagerie.stages.faces import SIZES as FACE_SIZES
from menagerie.stages.faces import train_faces, with_directions
from menagerie.stages.loop import Settings
from menagerie.stages.options import Stage, add_options, chosen, settings_of
from menagerie.stages.probe import train_probe
from menagerie.stages.text import tokenize, train_text
from menagerie.stages.unet import train_unet
from menagerie.stages.vae import train_vae
from menagerie.stages.vision import FOLDER, train_vision_model
from menagerie.stages.wholeness import train_wholeness
from menagerie.vision_models import export_vision_models

STAGES = {
    "vae": Stage(0.16, 32, 6e-3),
    "text": Stage(0.04, 64, 1.5e-3),
    "unet": Stage(0.37, 64, 3e-3),
    "decoder": Stage(0.08, 32, 3e-3),
    "probe": Stage(0.05, 64, 2e-3),
    "clip": Stage(0.07, 32, 2e-3),
    "dinov2": Stage(0.05, 64, 2e-3),
    "captioner": Stage(0.07, 16, 2e-3),
    "faces": Stage(0.06, 8, 6e-3),
    "export": Stage(0.0, 1, 0.0),
    "wholeness": Stage(0.05, 32, 3e-3),
}


def main(argv: list[str] | None = None) -> None:
    options = parse(argv)
    torch.manual_seed(options.seed)
    if options.start_from is not None and not (options.out / "pipeline" / "vae").exists():
        shutil.copytree(options.start_from, options.out / "pipeline", dirs_exist_ok=True)
        for part in ("judges", "captioner"):
            if (options.start_from.parent / part).exists():
                shutil.copytree(options.start_from.parent / part, options.out / FOLDER / part, dirs_exist_ok=True)
    for name in chosen(options, STAGES):
        settings = settings_of(name, options, STAGES)
        run_stage(name, replace(settings, images=options.images), options)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m menagerie.pretrain", description=__doc__)
    add_options(parser, STAGES, minutes=180.0, out=Path("out/pretrain"), checkpoint=CHECKPOINT)
    parser.add_argument("--from", dest="start_from", type=Path, help="start from the weights of this checkpoint folder")
    parser.add_argument(
        "--images", type=int, default=Settings.images, help="number of drawings for VAE, probe and faces"
    )
    return parser.parse_args(argv)


def run_stage(stage: str, settings: Settings, options: argparse.Namespace, sizes: Sizes | None = None) -> None:
    """Train one part of the pipeline in OUT and save it there."""
    sizes, folder = sizes or Sizes(), settings.out / "pipeline"
    match stage:
        case "vae":
            train_vae(build_vae(sizes), settings).save_pretrained(folder / "vae")
        case "text" if settings.resume and (folder / _TEXT_PARTS[-1]).exists():
            pass  # a UNet that resumes needs the encoders with which it began
        case "text":
            tokenizer = build_tokenizer([*vocabulary(), *PUNCTUATION], sizes.text_length)
            encoders = build_text_encoders(sizes, tokenizer)
            widths = sum(sizes.text_widths), sizes.text_widths[1]
            train_text(
                nn.ModuleList(encoders),
                lambda captions: encode_tokens(encoders, tokenize(tokenizer, captions).to(settings.device)),
                widths,
                settings,
            )
            for name, part in zip(_TEXT_PARTS, (tokenizer, tokenizer, *encoders), strict=True):
                part.save_pretrained(folder / name)
        case "unet":
            fresh = options.start_from is None
            pipeline = load(folder, sizes, fresh_unet=fresh)
            # Small images teach a new UNet the words; a trained UNet continues with whole images.
            sides = (sizes.latent // 2, sizes.latent) if fresh else (sizes.latent,)
            pools = [pool_of(settings, sizes, options.pool, side) for side in sides]
            for pool in pools:
                pool.grow(pipeline.vae.to(settings.device), options.pool, settings.workers)
            train_unet(pipeline, pools, settings).model.save_pretrained(folder / "unet")
        case "decoder":
            train_decoder(load(folder, sizes, fresh_unet=False), settings).save_pretrained(folder / "vae")
        case "probe":
            train_probe(AutoencoderKL.from_pretrained(folder / "vae"), settings)
        case "clip" | "dinov2" | "captioner":
            train_vision_model(stage, sizes.vision, settings)
        case "faces":
            trained = train_faces(Generator(FACE_SIZES), settings)
            save_face_generator(with_directions(trained, settings.seed), folder / face_generator.FOLDER)
        case "export":
            export(settings.out, options.checkpoint, sizes)
            export_vision_models(settings.out / FOLDER, options.checkpoint.parent)
        case "wholeness":
            # The stage shows its pairs through the exported checkpoint, whose edits the network will judge.
            train_wholeness(sdxl.load(options.checkpoint, device=settings.device), settings)


_TEXT_PARTS = ("tokenizer", "tokenizer_2", "text_encoder", "text_encoder_2")


def pool_of(settings: Settings, sizes: Sizes, capacity: int, side: int) -> Pool:
    shape = (sizes.latent_channels, side, side)
    return Pool(settings.out / f"pool-{side}-{capacity}", settings.seed + 1, capacity, shape)


def load(folder: Path, sizes: Sizes, fresh_unet: bool) -> StableDiffusionXLPipeline:
    """The pipeline in OUT. Its UNet is new if OUT has none or if `fresh_unet`."""
    has_unet = (folder / "unet").exists() and not fresh_unet
    return assemble(
        AutoencoderKL.from_pretrained(folder / "vae").eval(),
        CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        (
            CLIPTextModel.from_pretrained(folder / "text_encoder"),
            CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2"),
        ),
        UNet2DConditionModel.from_pretrained(folder / "unet") if has_unet else build_unet(sizes),
    )


def export(out: Path, checkpoint: Path, sizes: Sizes) -> None:
    """Write the averaged weights in half precision. Weights in `states` replace older ones in `pipeline`."""
    pipeline = load(out / "pipeline", sizes, fresh_unet=True)
    for name, module in (("unet", pipeline.unet), ("decoder", pipeline.vae)):
        state = out / "states" / f"{name}.pt"
        if state.exists():
            module.load_state_dict(torch.load(state, map_location="cpu", weights_only=True)["average"])
    pipeline.to(dtype=torch.float16).save_pretrained(checkpoint, safe_serialization=True)
    faces = out / "pipeline" / face_generator.FOLDER
    if faces.exists():
        shutil.copytree(faces, checkpoint / face_generator.FOLDER, dirs_exist_ok=True)
    make_portable(checkpoint)


if __name__ == "__main__":
    main()
