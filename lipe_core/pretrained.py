"""Loading of networks and processors of transformers' classes from untrusted folders and repositories.

Only safetensors files are read, and code beside them is never run.
"""

import re
from collections.abc import Container
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from lipe_core.errors import InvalidModel


def pretrained(
    classes: Any,
    families: Container[type],
    checkpoint: str | Path,
    revision: str | None,
    dtype: torch.dtype,
    kind: str,
) -> torch.nn.Module:
    """A frozen network of `classes` in evaluation mode, all weights read from safetensors files.

    `families` are the config classes that `classes` accept; `kind` names the expected model in messages. Raises
    InvalidModel, also where weights are missing or of another shape: transformers would initialize them at random and
    only log it.
    """
    from transformers import AutoConfig  # late: a caller that only handles InvalidModel does not wait for it

    config = read(AutoConfig, checkpoint, revision, kind)
    if type(config) not in families:
        raise InvalidModel(f"{checkpoint} holds a {config.model_type} model, not {kind}")
    network, report = read(
        classes, checkpoint, revision, kind, dtype=dtype, use_safetensors=True, output_loading_info=True,
        ignore_mismatched_sizes=True,
    )  # fmt: skip
    if missing := sorted({*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}):
        raise InvalidModel(f"{checkpoint} is not {kind}: it lacks {len(missing)} of its tensors, such as {missing[0]}")
    frozen: torch.nn.Module = network.requires_grad_(False).eval()
    return frozen


def public_name(checkpoint: str | Path) -> str:
    """The checkpoint's name for users: a hub id, or a folder's name without its location."""
    folder = Path(checkpoint).expanduser()
    return folder.name if folder.is_absolute() or folder.is_dir() else str(checkpoint)


def read(classes: Any, checkpoint: str | Path, revision: str | None, kind: str, **options: Any) -> Any:
    """Return `classes.from_pretrained(...)`; its errors become InvalidModel with advice. Remote code is never run."""
    options["trust_remote_code"] = False  # None would prompt at the terminal
    folder = Path(checkpoint).expanduser()
    is_hub_id = isinstance(checkpoint, str) and re.fullmatch(r"[\w-][\w.-]*(/[\w.-]+)?", checkpoint)
    if not folder.is_dir() and not is_hub_id:
        raise InvalidModel(f"the folder {checkpoint} does not exist: name a folder, or a repository such as org/name")
    if folder.is_dir() and "use_safetensors" in options and not any(folder.glob("*.safetensors")):
        pickles = [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")]
        found = f"only {pickles[0].name}, which may run code when it is read" if pickles else "no weights at all"
        raise InvalidModel(f"{checkpoint} holds {found}: save the model in the safetensors format")
    try:
        return classes.from_pretrained(folder if folder.is_dir() else checkpoint, revision=revision, **options)
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InvalidModel(f"{checkpoint} cannot be read as {kind}: {reason}") from error
