"""The files of a base model's folder, checked without torch. `lipe up` and `lipe doctor` call it."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

WEIGHT_FOLDERS = ("text_encoder", "text_encoder_2", "unet", "vae")
VOCABULARIES = ("tokenizer.json", "vocab.json")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
LENGTH_BYTES = 8  # a safetensors file: the header's length, the header in JSON, the tensors' bytes
MAX_HEADER_BYTES = 100_000_000  # the limit of the safetensors library


def is_hub_id(base_model: str) -> bool:
    """Whether the name is a repository of the model hub, such as org/name, and not a folder of this machine."""
    return not Path(base_model).exists() and bool(HUB_ID.fullmatch(base_model))


def find_faults(base_model: str) -> Iterator[str]:
    """Clauses that say what is missing or damaged in a checkpoint. A hub id has none: its files are not here."""
    folder = Path(base_model)
    if not folder.exists():
        if not is_hub_id(base_model):
            yield f"there is no base model {base_model}"
        return
    if not (folder / "model_index.json").is_file():
        yield f"the base model {base_model} has no model_index.json"
    for name in WEIGHT_FOLDERS:
        if not any((folder / name).glob("*.safetensors")):
            yield f"the base model {base_model} has no safetensors files in {name}"
    for file in _configurations(folder):
        if not file.is_file():
            yield f"the base model {base_model} has no {file.relative_to(folder)}"
    for name in ("tokenizer", "tokenizer_2"):
        if not any((folder / name / vocabulary).is_file() for vocabulary in VOCABULARIES):
            yield f"the base model {base_model} has no vocabulary in {name}"
    for file in weight_files(folder):
        try:
            count_parameters(file)
        except (OSError, ValueError):
            yield f"the base model {base_model} has an incomplete file {file.relative_to(folder)}"


def _configurations(folder: Path) -> list[Path]:
    return [*(folder / name / "config.json" for name in WEIGHT_FOLDERS), folder / "scheduler" / "scheduler_config.json"]


def weight_files(folder: Path) -> list[Path]:
    """The weight files that a worker loads: those in full precision, and the fp16 ones where there are no others."""
    found: list[Path] = []
    for name in WEIGHT_FOLDERS:
        files = sorted((folder / name).glob("*.safetensors"))
        found += [file for file in files if ".fp16." not in file.name] or files
    return found


def count_parameters(file: Path) -> int:
    """The number of parameters in a safetensors file, by its header.

    Raises ValueError for another format, and for a file that is shorter or longer than its header says: a copy that
    was interrupted, or the pointer that Git LFS leaves in place of the file.
    """
    with file.open("rb") as content:
        length = int.from_bytes(content.read(LENGTH_BYTES), "little")
        if length > MAX_HEADER_BYTES:
            raise ValueError(f"{file} is not a safetensors file")
        try:
            header = json.loads(content.read(length))
            tensors = [tensor for name, tensor in header.items() if name != "__metadata__"]
            end = max((tensor["data_offsets"][1] for tensor in tensors), default=0)
            parameters: int = sum(math.prod(tensor["shape"]) for tensor in tensors)
        except (AttributeError, KeyError, TypeError, IndexError) as error:
            raise ValueError(f"{file} is not a safetensors file") from error
    if file.stat().st_size != LENGTH_BYTES + length + end:
        raise ValueError(f"{file} has not the size that its header says")
    return parameters
