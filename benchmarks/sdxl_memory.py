"""Measure the memory of each phase at SDXL's true size, without a GPU: ``python -m benchmarks.sdxl_memory``.

The networks have the public configuration and fake tensors, which have shapes and types but no content. The phases run
through LIPE's own functions; `LiveMemory` counts what is alive. `lipe_core.checkpoint.sdxl_memory` records the figures,
and `lipe doctor` plans with them. A GPU's libraries need workspaces besides.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from benchmarks import sdxl_size
from benchmarks.live_memory import flops, peak_bytes
from benchmarks.sdxl_size import Scale
from lipe_core import base_models, sdxl
from lipe_core.adapters.flat import FlatWeights
from lipe_core.adapters.full_attention import trainable_attention
from lipe_core.adapters.lora import Tuning
from lipe_core.adapters.low_rank import LowRank, low_rank_linear
from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.diffusion.schedule import NoiseSchedule
from lipe_core.methods.source_features import SourceFeatures
from lipe_core.quantization import is_quantized, weight_bytes
from lipe_core.sdxl import BaseModel
from lipe_core.training import train
from lipe_core.training.batches import Rows
from lipe_core.training.config import PriorConfig
from menagerie.models import build_tokenizer

ROWS = (1, 2, 4, 8)
_T = 500
_TEXT = (77, 2048, 1280)
"""Tokens, channels of both encoders, and channels of the pooled embedding."""


@contextmanager
def fake_model(vae_dtype: torch.dtype = torch.bfloat16) -> Iterator[BaseModel]:
    """SDXL with fake weights in bfloat16. Everything in the block is fake, too."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        with default_dtype(torch.bfloat16):
            unet = sdxl_size.unet(Scale(), 768, 1280).requires_grad_(False).eval()
            text = [sdxl_size.text_config(Scale(), 100, width, layers) for width, layers in ((768, 12), (1280, 32))]
            encoders = CLIPTextModel(text[0]), CLIPTextModelWithProjection(text[1])
        with default_dtype(vae_dtype):
            vae = sdxl_size.vae(Scale()).requires_grad_(False).eval()
        tokenizer = build_tokenizer(("a",), _TEXT[0])
        yield BaseModel(
            unet=unet, vae=vae, tokenizers=(tokenizer, tokenizer), text_encoders=encoders,
            schedule=NoiseSchedule.scaled_linear(),
            prediction_type="epsilon", zero_empty_prompt=True, checkpoint="", revision=None, fingerprint="",
            device=torch.device("cpu"), dtype=torch.bfloat16,
        )  # fmt: skip


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """The dtype of new networks. Fake weights cannot change theirs later."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def weights(model: BaseModel) -> list[Tensor]:
    """The resident tensors."""
    return [tensor for network in (model.unet, model.vae) for tensor in (*network.parameters(), *network.buffers())]


def conditioning(rows: int) -> Conditioning:
    """Embeddings of so many prompts."""
    tokens, channels, pooled = _TEXT
    return Conditioning(torch.empty(rows, tokens, channels), torch.empty(rows, pooled), torch.empty(rows, 6))


@dataclass
class Measurement:
    """One peak in bytes, and the FLOPs of one call where they are needed."""

    peak: int
    flops: int = 0


Measurements = Iterator[tuple[str, Measurement]]
"""Each measured phase by its name."""


def edit_evaluations(model: BaseModel) -> Measurements:
    """One guided evaluation of so many edits, which reads the source's features; and the features of one step."""
    features = SourceFeatures(latest=_T)
    x_t = torch.empty(1, *model.latent_shape((1024, 1024)))
    with features.recorded(model):
        record = partial(features.at_timestep(sdxl.denoiser(model, conditioning(1))), x_t, _T)
        yield "inversion", Measurement(peak_bytes(record, weights(model)))
        record()
    yield "features of a step", Measurement(sum(state.nbytes for state in features.states.values()))
    resident = [*weights(model), *features.states.values()]
    with features.used(model):
        for rows in ROWS:
            denoise = features.at_timestep(sdxl.denoiser(model, conditioning(2 * rows)))
            evaluate = partial(denoise, torch.empty(2 * rows, *x_t.shape[1:]), _T)
            yield f"edit of {rows}", Measurement(peak_bytes(evaluate, resident))
    yield "evaluation", Measurement(0, flops(partial(sdxl.denoiser(model, conditioning(1)), x_t, _T)))


def images(model: BaseModel) -> Measurements:
    """Encoding and decoding of two images: at once, one by one, and in tiles; and the FLOPs of one image."""
    latents, pixels = torch.empty(2, *model.latent_shape((1024, 1024))), torch.empty(2, 3, 1024, 1024)
    with torch.no_grad():
        yield "decoding", Measurement(0, flops(lambda: sdxl.decode_pixels(model, latents[:1])))
        yield "encoding", Measurement(0, flops(lambda: sdxl.encode_pixels(model, pixels[:1])))
        for name in ("plain", "sliced", "tiled"):
            model.vae.use_slicing = name != "plain"
            with sdxl.tiled(model) if name == "tiled" else nullcontext():
                decoding = peak_bytes(lambda: sdxl.decode_pixels(model, latents), weights(model))
                encoding = peak_bytes(lambda: sdxl.encode_pixels(model, pixels), weights(model))
            yield f"{name} decoding", Measurement(decoding)
            yield f"{name} encoding", Measurement(encoding)


def training_rows(model: BaseModel, count: int) -> Rows:
    """Samples of one step: latents with everything that the loss needs."""
    x_0 = torch.empty(count, *model.latent_shape((1024, 1024)))
    mask = torch.empty(count, 1, *x_0.shape[2:])
    return Rows(x_0, conditioning(count), torch.full((count,), _T), torch.empty_like(x_0), torch.ones(count), mask)


@contextmanager
def fake_lora(model: BaseModel, config: PriorConfig) -> Iterator[FlatWeights]:
    """The LoRA of `lora.new_adapter`, without peft, which cannot convert fake weights. Yields its weights."""
    layers = {name: layer for name, layer in model.unet.named_modules() if name.endswith(config.targets)}
    matrices: dict[str, Tensor] = {}
    for name, layer in layers.items():
        matrices[f"{name}.down"] = torch.empty(config.rank, layer.in_features)
        matrices[f"{name}.up"] = torch.empty(layer.out_features, config.rank)
    flat = FlatWeights.of(matrices, model.dtype, config.alpha / config.rank)
    values, gradients = flat.views(flat.shadow), flat.views(flat.gradient)
    for name, layer in layers.items():
        down, up = f"{name}.down", f"{name}.up"
        added = LowRank(values[down], values[up], gradients[down], gradients[up], flat.scale, flat.master)
        layer.forward = partial(low_rank_linear, weight=layer.weight, bias=layer.bias, added=added,
                                weight_scale=getattr(layer, "scale", None))  # fmt: skip
    try:
        yield flat
    finally:
        for layer in layers.values():
            del layer.forward


@contextmanager
def trained(model: BaseModel, config: PriorConfig) -> Iterator[tuple[list[Tensor], Callable[[], None]]]:
    """The weights of the tuning, in use, and what collects their gradients. The optimizer changes the parameters."""
    if config.tuning == "lora":
        with fake_lora(model, config) as flat:
            yield [flat.master, flat.shadow, flat.gradient], flat.collect
    else:
        with trainable_attention(model) as attention:
            yield list(attention.weights.values()), lambda: None


def training_step(model: BaseModel, config: PriorConfig, rows: int, *, checkpointing: bool) -> int:
    """The peak of a step in which so many rows are computed at once, with the optimizer's weights and moments."""
    if checkpointing:
        model.unet.enable_gradient_checkpointing()
    with trained(model, config) as (trainable, collect):

        def step() -> None:
            loss = train.training_loss(model, training_rows(model, rows), config)
            loss.backward()  # type: ignore[no-untyped-call]
            collect()

        peak = peak_bytes(step, [*weights(model), *trainable])
    model.unet.disable_gradient_checkpointing()
    # The gradients are in the peak; the weights and both moments of AdamW are alive all the time.
    moments = 2 * sum(weight.nbytes for weight in trainable if isinstance(weight, nn.Parameter))
    return peak + moments + sum(weight.nbytes for weight in trainable)


def trainings(model: BaseModel) -> Measurements:
    """A step of one reference and one regularization image for each tuning, plain and with the worker's fallbacks."""
    yield "all networks", Measurement(sum(map(weight_bytes, model.networks)))
    tunings: tuple[Tuning, ...] = ("lora",) if is_quantized(model.unet) else ("lora", "full_attention")
    for config in (PriorConfig(tuning=tuning) for tuning in tunings):
        for name, rows, checkpointing in (("plain", 2, False), ("checkpointing", 2, True), ("row by row", 1, True)):
            peak = training_step(model, config, rows, checkpointing=checkpointing)
            yield f"{config.tuning}, {name}", Measurement(peak)


def captioning(_: BaseModel) -> Measurements:
    """The answer of LLaVA 1.5 7B about one image: the pass over image and question, whose keys and values stay."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, image_size=336,
            patch_size=14, projection_dim=768,
        ),
        text_config=LlamaConfig(
            vocab_size=32064, hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32,
            max_position_embeddings=4096,
        ),
        image_token_index=32000,
    )  # fmt: skip
    with default_dtype(torch.bfloat16):
        network = LlavaForConditionalGeneration(config).requires_grad_(False).eval()
    resident = [*network.parameters(), *network.buffers()]
    tokens = 576 + 128 + 96  # the image's patches, the question, the answer
    embeds, pixels = (
        torch.empty(1, tokens, 4096, dtype=torch.bfloat16),
        torch.empty(1, 3, 336, 336, dtype=torch.bfloat16),
    )

    @torch.no_grad()
    def answer() -> Any:
        seen = network.model.vision_tower(pixels, output_hidden_states=True)
        return seen, network.model.language_model(inputs_embeds=embeds, use_cache=True)

    yield "captioner", Measurement(peak_bytes(answer, resident), flops(answer))
    yield "captioner's weights", Measurement(sum(weight.nbytes for weight in network.parameters()))


PHASES: dict[str, Callable[[BaseModel], Measurements]] = {
    "edits": edit_evaluations, "images": images, "trainings": trainings, "captioning": captioning,
}  # fmt: skip


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sdxl_memory", description=__doc__)
    parser.add_argument("phases", nargs="*", default=list(PHASES), help=f"of {', '.join(PHASES)}; default: all")
    parser.add_argument("--bits", type=int, choices=(16, 8), default=16, help="of the weights in linear layers")
    parser.add_argument("--vae", choices=("bfloat16", "float32"), default="bfloat16", help="precision of the VAE")
    options = parser.parse_args(argv)
    for phase in options.phases:
        with fake_model(getattr(torch, options.vae)) as model:
            if options.bits == 8:
                base_models.quantize_linear(model)
            for name, found in PHASES[phase](model):
                print(json.dumps({"phase": name, "bytes": found.peak, "flops": found.flops}), flush=True)


if __name__ == "__main__":
    main()
