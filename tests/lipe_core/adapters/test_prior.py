import dataclasses
from pathlib import Path

import pytest
import torch

from lipe_core.adapters.prior import ADAPTER, MANIFEST, Manifest, load_prior, save_prior
from lipe_core.errors import InvalidPrior, PriorMismatch
from lipe_core.subject import Subject

TENSORS = {"unet.x.lora_A.weight": torch.arange(6.0).reshape(2, 3)}
WRITTEN = Manifest("sks", "dog", "base", None, "f" * 64, ("a sks dog",), ("a dog",), {"steps": 3}, (0.5, 0.25))


def test_a_prior_comes_back_as_it_was(tmp_path: Path) -> None:
    saved = save_prior(TENSORS, WRITTEN, tmp_path / "prior")
    loaded = load_prior(tmp_path / "prior", fingerprint="f" * 64)
    assert torch.equal(loaded.adapter["unet.x.lora_A.weight"], TENSORS["unet.x.lora_A.weight"])
    assert loaded.manifest.subject == Subject("sks", "dog")
    assert loaded.manifest.libraries["torch"].startswith("2.")
    assert list(loaded.manifest.losses) == list(saved.manifest.losses)


def test_an_older_prior_is_replaced_as_a_whole(tmp_path: Path) -> None:
    save_prior(TENSORS, WRITTEN, tmp_path / "prior")
    save_prior(TENSORS, dataclasses.replace(WRITTEN, token="zwx"), tmp_path / "prior")
    assert load_prior(tmp_path / "prior").manifest.token == "zwx"
    assert [entry.name for entry in tmp_path.iterdir()] == ["prior"]


def test_a_prior_of_another_base_model_is_refused(tmp_path: Path) -> None:
    save_prior(TENSORS, WRITTEN, tmp_path / "prior")
    with pytest.raises(PriorMismatch, match="learn the prior again"):
        load_prior(tmp_path / "prior", fingerprint="0" * 64)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / ADAPTER).unlink(),
        lambda folder: (folder / MANIFEST).write_text("{"),
        lambda folder: (folder / MANIFEST).write_text('{"token": "sks"}'),
        lambda folder: (folder / ADAPTER).write_bytes((folder / ADAPTER).read_bytes()[:-4]),
        lambda folder: (folder / ADAPTER).write_bytes(b"not safetensors"),
    ],
)
def test_a_damaged_prior_is_refused(tmp_path: Path, damage: object) -> None:
    save_prior(TENSORS, WRITTEN, tmp_path / "prior")
    damage(tmp_path / "prior")  # type: ignore[operator]
    with pytest.raises(InvalidPrior):
        load_prior(tmp_path / "prior")
