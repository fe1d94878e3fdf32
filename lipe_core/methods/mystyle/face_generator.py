"""A face generator in a folder: StyleGAN2's weights, the class nouns that it generates, and named directions in W.

`config.json` holds {"widths": [...], "z_size": n, "w_size": n, "mapping_layers": n, "nouns": ["person"], "phrases":
{"expression": {"smiling": ["smiling", "with a happy smile"], ...}, ...}}, and `model.safetensors` the weights with one
`direction.<attribute>.<value>` for each value: the difference in W of a face with this value and the average face. In
https://arxiv.org/abs/2005.09635 a direction is the normal of the plane that separates faces with and without it. The
files are data: code that lies beside them is never run.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lipe_core.errors import InvalidModel
from lipe_core.methods.mystyle.stylegan2 import Generator, InvalidSizes, Sizes

FOLDER = "face_generator"
"""The generator's folder in a checkpoint's folder, beside the pipeline's parts."""

CONFIG, WEIGHTS = "config.json", "model.safetensors"

Direction = Float[Tensor, "d"]
Phrases = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Attribute -> value -> the phrases of prompts that name it."""


@dataclass(frozen=True)
class FaceGenerator:
    """The network, frozen; `directions` has an entry for each (attribute, value) of `phrases`."""

    network: Generator
    nouns: tuple[str, ...]
    phrases: Phrases
    directions: Mapping[tuple[str, str], Direction]

    def named(self, prompt: str) -> dict[str, str]:
        """The value of each attribute that the prompt names.

        Longer phrases are matched first and removed, because a phrase may contain another.
        """
        table = [
            (phrase, name, value)
            for name, values in self.phrases.items()
            for value in values
            for phrase in values[value]
        ]
        found: dict[str, str] = {}
        for phrase, name, value in sorted(table, key=lambda row: -len(row[0])):
            prompt, times = re.subn(rf"(?<!\w){re.escape(phrase)}(?!\w)", " ", prompt, flags=re.IGNORECASE)
            if times:
                found.setdefault(name, value)
        return found


def save_face_generator(generator: FaceGenerator, folder: Path) -> None:
    """Write the generator to the folder, in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    config = asdict(generator.network.sizes) | {"nouns": generator.nouns, "phrases": generator.phrases}
    tensors = {name: tensor.half().contiguous() for name, tensor in generator.network.state_dict().items()}
    tensors |= {_key(*which): direction.half() for which, direction in generator.directions.items()}
    save_file(tensors, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")


def load_face_generator(folder: Path, *, device: torch.device | str = "cpu") -> FaceGenerator:
    """Read the generator in the folder, in float32. Raises InvalidModel, which names what is missing or wrong."""
    try:
        config = json.loads((folder / CONFIG).read_text())
        tensors = load_file(folder / WEIGHTS, device=str(device))
    except (OSError, ValueError, SafetensorError) as error:
        raise InvalidModel(f"{folder} holds no face generator ({error}): it needs {CONFIG} and {WEIGHTS}") from error
    try:
        sizes, nouns, phrases = _read(config)
    except (InvalidSizes, KeyError, TypeError, ValueError) as error:
        raise InvalidModel(f"{folder / CONFIG} describes no face generator: {error}") from error
    with torch.device("meta"):  # allocate nothing before the file's shapes are checked
        network = Generator(sizes)
    which = [(name, value) for name, values in phrases.items() for value in values]
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    for key, shape in {**wanted, **{_key(*one): (sizes.w_size,) for one in which}}.items():
        if key not in tensors or tuple(tensors[key].shape) != shape or not tensors[key].is_floating_point():
            raise InvalidModel(f"{folder / WEIGHTS} lacks {key} of shape {shape}: it does not fit its {CONFIG}")
    network.load_state_dict({name: tensors[name].float() for name in wanted}, assign=True)
    directions = {one: tensors[_key(*one)].float() for one in which}
    return FaceGenerator(network.requires_grad_(False).eval(), nouns, phrases, directions)


def fingerprint(folder: Path) -> str:
    """The SHA-256 of the weights, or "" without any. The checkpoint's own fingerprint does not cover them."""
    file = folder / WEIGHTS
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def _key(attribute: str, value: str) -> str:
    return f"direction.{attribute}.{value}"


def _read(config: Any) -> tuple[Sizes, tuple[str, ...], Phrases]:
    numbers = {field.name: config[field.name] for field in fields(Sizes)}
    sizes = Sizes(**numbers | {"widths": tuple(numbers["widths"])})
    phrases = {
        str(name): {str(value): _words(some) for value, some in values.items()}
        for name, values in _mapping(config["phrases"]).items()
        if _mapping(values)
    }
    return sizes, _words(config["nouns"]), phrases


def _mapping(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise TypeError("its phrases are not objects of values")
    return found


def _words(found: Any) -> tuple[str, ...]:
    if not isinstance(found, list) or not found or not all(isinstance(word, str) and word.strip() for word in found):
        raise TypeError(f"{found!r} is not a list of words")
    return tuple(found)
