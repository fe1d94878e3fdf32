"""The header of a safetensors file of unknown origin: its size, its names and where its tensors lie.

Format: eight bytes with the header's length, little-endian; the header, a JSON object; then the tensors without gaps
(https://huggingface.co/docs/safetensors). No tensor is read here.
"""

import json
from typing import Any, TypeGuard

from api.problems import Problem

START_BYTES = 8
MAX_HEADER_BYTES = 4 * 1024 * 1024
"""kohya's trainer writes the tags of all images into the header, which are some hundred kilobytes."""
MAX_TENSORS = 20_000
MAX_NAME = 512
MAX_DIMENSIONS = 4
BYTES = {"F16": 2, "BF16": 2, "F32": 4}
METADATA = "__metadata__"


def header_size(start: bytes, file_size: int) -> int:
    """The length of the header in bytes, from the file's first START_BYTES. Raises Problem."""
    size = int.from_bytes(start[:START_BYTES], "little")
    if len(start) < START_BYTES or not 2 <= size <= file_size - START_BYTES:
        raise _refuse("it is no safetensors file: export the LoRA as .safetensors")
    if size > MAX_HEADER_BYTES:
        raise _refuse(f"its header has {size} bytes: remove metadata until it has at most {MAX_HEADER_BYTES}")
    return size


def check_header(header: bytes, data_size: int) -> None:
    """Check the header of a file with `data_size` bytes after it. Raises Problem, which says what is wrong."""
    try:
        content = json.loads(header, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise _refuse("its header is no JSON: the file is damaged, send it again") from error
    if not isinstance(content, dict):
        raise _refuse("its header is no JSON object: the file is damaged, send it again")
    metadata = content.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _refuse(f"{METADATA} of its header must be an object of strings: export the LoRA again")
    if not 1 <= len(content) <= MAX_TENSORS:
        raise _refuse(f"it has {len(content)} tensors: a LoRA has from 1 to {MAX_TENSORS}")
    end = 0
    for begin, stop in sorted(_place(name, tensor) for name, tensor in content.items()):
        if begin != end:
            raise _refuse("its tensors overlap or have gaps between them: the file is damaged, send it again")
        end = stop
    if end != data_size:
        raise _refuse(
            f"its tensors have {end} bytes, but {data_size} follow the header: the file is cut, send it again"
        )
    if not any("lora" in name.lower() for name in content):
        raise _refuse("none of its tensors belongs to a LoRA: send the LoRA and not a whole model")


def _place(name: str, tensor: Any) -> tuple[int, int]:
    """The first byte of a tensor and the byte after it, checked against its type and shape."""
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise _refuse(f"a name of a tensor has other than 1 to {MAX_NAME} printable characters: export the LoRA again")
    fields = tensor if isinstance(tensor, dict) else {}
    dtype, shape, offsets = (fields.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str) or dtype not in BYTES:
        raise _refuse(f"the tensor {name} is of the type {str(dtype)[:20]}: export it as {', '.join(BYTES)}")
    if not _are_sizes(shape) or len(shape) > MAX_DIMENSIONS:
        raise _refuse(f"the tensor {name} has no valid shape: export the LoRA again")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise _refuse(f"the tensor {name} has no valid place: the file is damaged, send it again")
    size = BYTES[dtype]
    for side in shape:
        size *= side
    if offsets[1] - offsets[0] != size:
        raise _refuse(f"the place of the tensor {name} does not fit its shape: the file is damaged, send it again")
    return offsets[0], offsets[1]


def _are_sizes(value: Any) -> TypeGuard[list[int]]:
    """Whether the value is a list of whole numbers that a file can have. JSON's booleans are none."""
    return isinstance(value, list) and all(type(entry) is int and 0 <= entry < 2**48 for entry in value)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a name occurs twice")
    return content


def _refuse(reason: str) -> Problem:
    return Problem("lora_invalid", f"the file cannot be imported, because {reason}", param="upload_id")
