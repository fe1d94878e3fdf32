"""A prior: the learned adapter of one subject and one base model, with its manifest. On disk, a folder of two files."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save, save_file
from torch import Tensor

from lipe_core.errors import InvalidPrior, PriorMismatch
from lipe_core.subject import Subject

ADAPTER, MANIFEST = "adapter.safetensors", "manifest.json"
_LIBRARIES = ("torch", "diffusers", "transformers", "peft", "safetensors")


@dataclass(frozen=True)
class Manifest:
    """How a prior was trained: enough to repeat the training, and to refuse the prior on another base model.

    `captioner` is the model that wrote captions of references, None where none did. `prompt_writer` is the model that
    wrote the class prompts, None where they come from the built-in bank. `config` has the sections "prior" and
    "regularization". `losses` has one value per step.
    """

    token: str
    class_noun: str
    base_model: str
    revision: str | None
    fingerprint: str
    captions: tuple[str, ...]
    class_prompts: tuple[str, ...]
    config: dict[str, Any]
    losses: tuple[float, ...]
    libraries: dict[str, str] = field(default_factory=lambda: {name: version(name) for name in _LIBRARIES})
    adapter_sha256: str = ""
    captioner: str | None = None
    prompt_writer: str | None = None

    @property
    def subject(self) -> Subject:
        """The subject that the prior was trained on."""
        return Subject(self.token, self.class_noun)


@dataclass(frozen=True)
class Prior:
    """An adapter's tensors, named as diffusers' `load_lora_weights` expects them, and their manifest.

    `more_tokens` has the embeddings of further tokens, by token, which a mix of priors (`mixing`) has. `mixes` has the
    hash of the adapter file and the weight of each prior that was mixed in.
    """

    adapter: dict[str, Tensor]
    manifest: Manifest
    more_tokens: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    mixes: tuple[tuple[str, float], ...] = ()

    @property
    def identity(self) -> tuple[object, ...] | None:
        """What tells this prior from others: hashes and weights. None if a part of it was never saved."""
        hashes = (self.manifest.adapter_sha256, *(sha256 for sha256, _ in self.mixes))
        return (self.manifest.adapter_sha256, self.manifest.token, self.mixes) if all(hashes) else None


def save_prior(adapter: dict[str, Tensor], manifest: Manifest, folder: Path) -> Prior:
    """Write both files into `folder`, atomically; an older prior there is replaced.

    Returns the prior, its manifest with the adapter file's hash.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as unfinished:
        new = Path(unfinished) / "prior"
        new.mkdir()
        save_file({name: tensor.contiguous() for name, tensor in adapter.items()}, new / ADAPTER)
        digest = _sha256(new / ADAPTER)
        manifest = Manifest(**{**vars(manifest), "adapter_sha256": digest})
        (new / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2, ensure_ascii=False) + "\n")
        if folder.exists():
            shutil.move(folder, Path(unfinished) / "old")
        os.replace(new, folder)
    return Prior(adapter, manifest)


def adapter_file(adapter: Mapping[str, Tensor]) -> bytes:
    """The content of an adapter's file, as `save_prior` writes it."""
    content: bytes = save({name: tensor.contiguous() for name, tensor in adapter.items()})
    return content


def load_prior(folder: Path, fingerprint: str | None = None) -> Prior:
    """Read a prior; with `fingerprint`, only one that was trained on the base model with this fingerprint.

    Raises InvalidPrior for missing, cut or changed files, PriorMismatch for another base model.
    """
    try:
        manifest = _read((folder / MANIFEST).read_text())
        digest = _sha256(folder / ADAPTER)
    except (OSError, ValueError, TypeError) as error:
        raise InvalidPrior(f"{folder} holds no prior ({error}): learn it again") from error
    if digest != manifest.adapter_sha256:
        raise InvalidPrior(f"{folder / ADAPTER} is not the file that its manifest names: download it again")
    if fingerprint is not None and manifest.fingerprint != fingerprint:
        raise PriorMismatch(
            f"the prior was trained on {manifest.base_model} ({manifest.fingerprint[:12]}), the loaded base model is "
            f"{fingerprint[:12]}: load that base model, or learn the prior again"
        )
    try:
        return Prior(load_file(folder / ADAPTER), manifest)
    except SafetensorError as error:
        raise InvalidPrior(f"{folder / ADAPTER} is not a safetensors file: {error}") from error


def _sha256(file: Path) -> str:
    """The hash of a file of any size, which is not read into memory at once."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read(text: str) -> Manifest:
    fields: dict[str, Any] = json.loads(text)
    fields.update({name: tuple(value) for name, value in fields.items() if isinstance(value, list)})
    return Manifest(**fields)
