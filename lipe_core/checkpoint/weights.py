"""The weight files that are loaded from a base model's folder, and the headers of safetensors files.

The format: 8 bytes with the header's length, the header in JSON, then the tensors
(https://huggingface.co/docs/safetensors). A header tells all names and shapes without reading a tensor.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lipe_core.errors import InvalidModel

STEMS = {
    "text_encoder": "model",
    "text_encoder_2": "model",
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
}
"""SDXL's folders with weights, and the names of their files before the first dot."""
FLUX2_STEMS = {"text_encoder": "model", "transformer": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model"}
"""The same of FLUX.2 [klein]."""
ALL_STEMS = STEMS | FLUX2_STEMS
"""Those of all base models. A folder has the components of its own family alone."""
_MAX_HEADER = 100_000_000  # bytes; the limit of the safetensors library
_GIT_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class WeightFiles:
    """The files of one component, in the order of their names. `variant` is "fp16" or None, as diffusers names it."""

    paths: tuple[Path, ...]
    variant: str | None


def weight_files(folder: Path, component: str) -> WeightFiles | None:
    """The component's safetensors files that are loaded, the full ones before those of the variant fp16.

    None if there are none. Raises InvalidModel if an index cannot be read or names a missing file.
    """
    for variant in (None, "fp16"):
        for candidate in _candidates(folder / component, ALL_STEMS[component], variant):
            if candidate.is_file():
                return WeightFiles(tuple(sorted(_shards(candidate))), variant)
    return None


def count_parameters(folder: Path) -> int:
    """The number of parameters in all weight files, by their headers. Raises InvalidModel if one is damaged."""
    return sum(math.prod(shape) for component in ALL_STEMS for shape in component_shapes(folder, component).values())


def component_shapes(folder: Path, component: str) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of a component; none without weight files. Raises InvalidModel if one is damaged."""
    files = weight_files(folder, component)
    return {name: shape for file in (files.paths if files else ()) for name, shape in read_shapes(file).items()}


def read_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor in a safetensors file. Raises InvalidModel if the file is damaged or incomplete."""
    return {name: tuple(entry["shape"]) for name, entry in _read_header(file).items()}


def read_types(file: Path) -> set[str]:
    """The types of the tensors in a safetensors file, such as BF16. Raises InvalidModel as `read_shapes` does."""
    return {str(entry["dtype"]) for entry in _read_header(file).values()}


def _read_header(file: Path) -> dict[str, dict[str, Any]]:
    try:
        with file.open("rb") as weights:
            start = weights.read(len(_GIT_LFS_POINTER))
            if start == _GIT_LFS_POINTER:
                raise ValueError("it is a pointer of Git LFS, which `git lfs pull` replaces by the file")
            length = int.from_bytes(start[:8], "little")
            if not 0 < length < _MAX_HEADER:
                raise ValueError("its header has an impossible length")
            weights.seek(8)
            header = json.loads(weights.read(length))
        header.pop("__metadata__", None)
        end = 8 + length + max((entry["data_offsets"][1] for entry in header.values()), default=0)
        if end != (size := file.stat().st_size):
            raise ValueError("its end is missing" if end > size else "it is longer than its header says")
        for entry in header.values():
            tuple(entry["shape"]), entry["dtype"]  # as the callers read them
        return dict(header)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidModel(f"the file {file} is damaged ({error}): copy or download it again") from error


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises InvalidModel if there is none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InvalidModel(f"the file {file} is missing: copy or download the whole folder again") from error
    except (OSError, ValueError) as error:
        raise InvalidModel(f"the file {file} cannot be read as JSON: copy or download it again") from error
    if not isinstance(content, dict):
        raise InvalidModel(f"the file {file} has no JSON object: copy or download it again")
    return content


def _candidates(folder: Path, stem: str, variant: str | None) -> list[Path]:
    """The files that may name or hold the weights, in the order in which the libraries look for them."""
    dotted = f".{variant}" if variant else ""
    single = [folder / f"{stem}{dotted}.safetensors"]
    indices = [folder / f"{stem}.safetensors{dotted}.index.json", folder / f"{stem}.safetensors.index{dotted}.json"]
    return single + indices if stem == "model" else indices + single  # transformers; diffusers


def _shards(file: Path) -> Iterator[Path]:
    if file.suffix != ".json":
        yield file
        return
    shards = read_json(file).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise InvalidModel(f"the file {file} names no weight files: copy or download it again")
    for name in sorted(set(map(str, shards.values()))):
        if not (file.parent / name).is_file():
            raise InvalidModel(f"the file {file} names {name}, which is missing: copy or download it")
        yield file.parent / name
