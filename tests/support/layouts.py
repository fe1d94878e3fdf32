"""Changes of the tiny checkpoint's folder into the layouts of published models."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

Change = Callable[[Path], None]
UNET = "unet/diffusion_pytorch_model.safetensors"


def edited(file: str, **values: object) -> Change:
    """Set keys of a JSON file. None deletes the key's value, as null."""

    def change(folder: Path) -> None:
        content = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps(content | values))

    return change


def scheduler(name: str, **values: object) -> Change:
    """Another scheduler."""
    return edited("scheduler/scheduler_config.json", _class_name=name, **values)


def all_of(*changes: Change) -> Change:
    """One change after another."""

    def change(folder: Path) -> None:
        for one in changes:
            one(folder)

    return change


def removed(pattern: str) -> Change:
    """Delete files."""

    def change(folder: Path) -> None:
        for file in list(folder.glob(pattern)):
            file.unlink()

    return change


def renamed(file: str, name: str) -> Change:
    """Rename a file within its folder."""

    def change(folder: Path) -> None:
        _move(folder / file, name)

    return change


def tensors(file: str, edit: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Change:
    """Replace the tensors of a weight file."""
    return lambda folder: save_file(edit(load_file(folder / file)), folder / file, {"format": "pt"})


def sharded(file: str, dtype: torch.dtype) -> Change:
    """Two shards with an index, in the names of diffusers and transformers."""

    def change(folder: Path) -> None:
        whole, stem = folder / file, Path(file).stem
        kept = {name: tensor.to(dtype) for name, tensor in load_file(whole).items()}
        whole.unlink()
        index: dict[str, str] = {}
        for number in (0, 1):
            part = dict(list(kept.items())[number::2])
            shard = f"{stem}-0000{number + 1}-of-00002.safetensors"
            save_file(part, whole.with_name(shard), {"format": "pt"})
            index |= dict.fromkeys(part, shard)
        content = {"metadata": {"total_size": sum(t.nbytes for t in kept.values())}, "weight_map": index}
        whole.with_name(f"{stem}.safetensors.index.json").write_text(json.dumps(content))

    return change


def overwritten(file: str, text: str) -> Change:
    """Replace the content of a file."""

    def change(folder: Path) -> None:
        (folder / file).write_text(text)

    return change


def truncated(file: str) -> Change:
    """Cut the last kilobyte off, as an interrupted copy does."""
    return lambda folder: _cut(folder / file)


def single_file(folder: Path) -> None:
    """Weights in one file without configurations, as they are shared."""
    _move(folder / UNET, "model.safetensors").replace(folder / "model.safetensors")
    (folder / "model_index.json").unlink()


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1024])


def _move(file: Path, name: str) -> Path:
    return file.rename(file.with_name(name))
