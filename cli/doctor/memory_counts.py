"""Counts of the parameters that decide the GPU memory of each phase, from the headers of the weight files."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lipe_core.checkpoint.flux2_layout import adapter_targets
from lipe_core.checkpoint.weights import component_shapes, count_parameters, read_shapes

WEIGHT_BYTES = 2
"""A worker holds all networks in bfloat16 on a GPU."""
TRAINED_BYTES = 16
"""A trained parameter in float32: the weight, its gradient and the two moments of AdamW, 4 bytes each."""
SDXL_UNET_PARAMETERS = 2_567_463_684
"""Of stabilityai/stable-diffusion-xl-base-1.0, for which docs/gpus.md has a measured figure."""

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class MemoryCounts:
    """Numbers of parameters: of the base model, of its attention layers, of a LoRA, and of the layers it changes.

    `text_encoder` are those that leave a small GPU after each encoding of prompts. `linear` are those of the base model
    that take one byte with 8 `bits`.
    """

    base_model: int
    attention: int
    lora: int
    adapted: int
    is_sdxl: bool
    text_encoder: int = 0
    linear: int = 0
    bits: int = 16

    @property
    def resident(self) -> int:
        """Bytes of the base model, which each worker keeps."""
        return WEIGHT_BYTES * self.base_model - (self.linear if self.bits == 8 else 0)

    @property
    def lora_training(self) -> int:
        """Bytes of a training of a LoRA without activations."""
        return self.resident + TRAINED_BYTES * self.lora

    @property
    def attention_training(self) -> int:
        """Bytes of a training of all attention weights without activations."""
        return self.resident + TRAINED_BYTES * self.attention

    @property
    def editing(self) -> int:
        """Bytes of an edit without activations: the changed weights of the prior are beside the base model's.

        Weights of 8 bits are not changed: the LoRA itself is beside them.
        """
        return self.resident + WEIGHT_BYTES * (self.lora if self.bits == 8 else max(self.adapted, self.attention))


SDXL = MemoryCounts(
    base_model=3_468_837_867,
    attention=955_353_600,
    lora=23_224_320,
    adapted=955_187_200,
    is_sdxl=True,
    linear=2_923_462_656,
)
"""The counts of stabilityai/stable-diffusion-xl-base-1.0 with a LoRA of rank 16, for a hub id before its download."""
KLEIN = MemoryCounts(
    base_model=7_982_058_787,
    attention=2_831_162_880,
    lora=16_711_680,
    adapted=2_642_411_520,
    is_sdxl=False,
    text_encoder=4_022_468_096,
    linear=7_313_817_600,
)
"""The same of black-forest-labs/FLUX.2-klein-base-4B, as ``python -m benchmarks.flux2_size`` counts them."""


def read_counts(base_model: Path, rank: int, targets: Iterable[str]) -> MemoryCounts:
    """The counts for a folder and a LoRA on the attention projections `targets`. Raises InvalidModel."""
    unet, transformer = (component_shapes(base_model, component) for component in ("unet", "transformer"))
    if transformer:
        return _klein_counts(base_model, transformer, rank, list(targets))
    adapted = _adapted(unet, targets)
    return MemoryCounts(
        base_model=count_parameters(base_model),
        attention=sum(math.prod(shape) for name, shape in unet.items() if ".attn1." in name or ".attn2." in name),
        lora=sum(rank * (inputs + outputs) for outputs, inputs in adapted.values()),
        adapted=sum(math.prod(shape) for shape in adapted.values()),
        is_sdxl=sum(map(math.prod, unet.values())) == SDXL_UNET_PARAMETERS,
        linear=count_linear(base_model),
    )


def _klein_counts(base_model: Path, transformer: Shapes, rank: int, targets: list[str]) -> MemoryCounts:
    singles = {name.split(".")[1] for name in transformer if name.startswith("single_transformer_blocks.")}
    adapted = _adapted(transformer, adapter_targets(targets, len(singles)))
    return MemoryCounts(
        base_model=count_parameters(base_model),
        attention=sum(math.prod(shape) for name, shape in transformer.items() if ".attn." in name),
        lora=sum(rank * (inputs + outputs) for outputs, inputs in adapted.values()),
        adapted=sum(math.prod(shape) for shape in adapted.values()),
        is_sdxl=False,
        text_encoder=sum(map(math.prod, component_shapes(base_model, "text_encoder").values())),
        linear=count_linear(base_model),
    )


def count_linear(base_model: Path) -> int:
    """The number of parameters in the layers that a base model of 8 bits rounds. Raises InvalidModel.

    They are the matrices of the network's transformer blocks, and those of text encoders but the embeddings.
    """
    blocks = {"unet": ".attentions.", "transformer": "transformer_blocks."}
    found = 0
    for component in (*blocks, "text_encoder", "text_encoder_2"):
        for name, shape in component_shapes(base_model, component).items():
            is_embedding = "embed" in name or name.startswith("lm_head.")
            is_wanted = blocks[component] in name if component in blocks else not is_embedding
            found += math.prod(shape) if is_wanted and len(shape) == 2 else 0
    return found


def count_files(folder: Path) -> int:
    """The number of parameters in all safetensors files of a folder, such as the captioner's. Raises InvalidModel."""
    return sum(math.prod(shape) for file in folder.glob("*.safetensors") for shape in read_shapes(file).values())


def _adapted(unet: Shapes, targets: Iterable[str]) -> Shapes:
    """The weights of the layers that get a LoRA: peft compares the end of each layer's name with the targets."""
    ends = tuple(f".{target}.weight" for target in targets)
    return {name: shape for name, shape in unet.items() if f".{name}".endswith(ends)}
