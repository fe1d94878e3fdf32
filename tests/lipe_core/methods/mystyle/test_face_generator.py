"""A saved generator can be read again; an invalid folder is refused with a reason."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lipe_core.errors import InvalidModel
from lipe_core.methods.mystyle.face_generator import CONFIG, WEIGHTS, fingerprint, load_face_generator
from tests.support.toy_faces import toy_faces, write_toy_faces


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_toy_faces(tmp_path / "faces")
    return tmp_path / "faces"


def test_a_saved_generator_generates_the_same_images(folder: Path) -> None:
    ours, read = toy_faces(), load_face_generator(folder)
    w = ours.network.w_average[None]
    torch.testing.assert_close(read.network(w), ours.network(w), atol=5e-3, rtol=5e-3)  # half precision
    assert (read.nouns, read.phrases) == (ours.nouns, ours.phrases)
    for which, direction in ours.directions.items():
        torch.testing.assert_close(read.directions[which], direction, atol=2e-3, rtol=2e-3)
    assert not any(weight.requires_grad for weight in read.network.parameters())
    assert fingerprint(folder) == fingerprint(folder) != fingerprint(folder.parent) == ""


def test_prompts_name_values_longest_phrase_first() -> None:
    faces = toy_faces()
    assert faces.named("a photo of sks dog Jumping up, in a meadow") == {"pose": "jumping", "place": "in"}
    assert faces.named("a photo of sks dog, outsitting all") == {}


def changed(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, **changes}))


def without_a_tensor(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    tensors.pop("direction.pose.jumping")
    save_file(tensors, folder / WEIGHTS)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / WEIGHTS).unlink(), "no face generator"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"\x80\x04pickle"), "no face generator"),
        (lambda folder: (folder / CONFIG).write_text("{"), "no face generator"),
        (lambda folder: (folder / CONFIG).write_bytes(b"\xff\xfe"), "no face generator"),
        (lambda folder: (folder / CONFIG).write_text("[]"), "describes no"),
        (lambda folder: (folder / CONFIG).write_text("{}"), "describes no"),
        (lambda folder: changed(folder, widths=8), "describes no"),
        (lambda folder: changed(folder, widths=[8, "6", 4]), "describes no"),
        (lambda folder: changed(folder, widths=[4096] * 9), "lacks"),
        (lambda folder: changed(folder, w_size=7), "lacks"),
        (lambda folder: changed(folder, nouns="dog"), "describes no"),
        (lambda folder: changed(folder, nouns=[]), "describes no"),
        (lambda folder: changed(folder, phrases=[1]), "describes no"),
        (lambda folder: changed(folder, phrases={"pose": ["jumping"]}), "describes no"),
        (lambda folder: changed(folder, phrases={"pose": {"jumping": [" "]}}), "describes no"),
        (without_a_tensor, r"lacks direction\.pose\.jumping"),
    ],
)
def test_an_invalid_folder_says_why(folder: Path, spoil: Callable[[Path], object], message: str) -> None:
    spoil(folder)
    with pytest.raises(InvalidModel, match=message):
        load_face_generator(folder)
