import os
from collections import Counter
from pathlib import Path

import pytest
import torch
from PIL import Image

from lipe_core import sdxl
from lipe_core.sdxl import BaseModel
from lipe_core.subject import Sample
from lipe_core.training import dataset


def samples(*sizes: tuple[int, int]) -> list[Sample]:
    return [Sample(Image.new("RGB", size, (40 * k, 90, 200)), f"a sks dog {k}") for k, size in enumerate(sizes)]


def test_images_of_one_shape_share_a_set_and_keep_their_shape(model: BaseModel) -> None:
    side, wide = model.native_size, dataset.encode(model, samples((64, 64), (200, 100), (300, 300), (400, 200)))
    square, broad = wide
    assert square.latents.shape == (2, *model.latent_shape((side, side)))
    rows, columns = broad.latents.shape[2:]
    assert columns > rows
    assert abs(rows * columns / (side / model.factor) ** 2 - 1) < 0.3
    assert (square.captions, broad.captions) == (("a sks dog 0", "a sks dog 2"), ("a sks dog 1", "a sks dog 3"))
    torch.testing.assert_close(
        square.latents[:1], sdxl.encode_image(model, [samples((64, 64))[0].image]), rtol=1e-3, atol=1e-3
    )


def test_micro_conditioning_states_small_originals_and_crops(model: BaseModel) -> None:
    side = float(model.native_size)
    assert side == 64
    square, wide = dataset.encode(model, samples((64, 64), (640, 640), (32, 32), (66, 64)))
    time_ids = [*square.conditioning.time_ids.tolist(), *wide.conditioning.time_ids.tolist()]
    assert time_ids[0] == time_ids[1] == [side, side, 0, 0, side, side]
    assert time_ids[2] == [32, 32, 0, 0, side, side]
    assert time_ids[3] == [side, 66, 1, 0, side, 68]


def test_nothing_to_encode_is_an_error(model: BaseModel) -> None:
    with pytest.raises(ValueError, match="at least one"):
        dataset.encode(model, [])


def test_a_saved_set_comes_back_as_it_was(model: BaseModel, tmp_path: Path) -> None:
    (encoded,) = dataset.encode(model, samples((64, 64), (64, 64)))
    dataset.save(encoded, tmp_path / "set.safetensors")
    loaded = dataset.load(tmp_path / "set.safetensors")
    assert torch.equal(loaded.latents, encoded.latents)
    assert torch.equal(loaded.conditioning.prompt_embeds, encoded.conditioning.prompt_embeds)
    assert loaded.captions == encoded.captions
    assert [file.name for file in tmp_path.iterdir()] == ["set.safetensors"]


def test_every_row_comes_once_in_each_epoch_and_a_step_is_repeatable(model: BaseModel) -> None:
    encoded = dataset.encode(model, samples(*[(64, 64)] * 3))
    seen = [caption for step in range(6) for caption in dataset.select_batch(encoded, step, 2, seed=5).captions]
    for k in range(0, 12, 3):
        assert sorted(seen[k : k + 3]) == sorted(encoded[0].captions)
    assert dataset.select_batch(encoded, 4, 2, seed=5).captions == tuple(seen[8:10])
    assert len(dataset.select_batch(encoded, 0, 7, seed=5)) == 7


def test_a_batch_has_one_size_and_every_image_of_two_sets_comes_equally_often(model: BaseModel) -> None:
    sets = dataset.encode(model, samples((64, 64), (64, 64), (128, 64), (64, 64)))
    assert [len(encoded) for encoded in sets] == [3, 1]
    seen = Counter(c for step in range(3 * 4) for c in dataset.select_batch(sets, step, 1, seed=5).captions)
    assert seen == {f"a sks dog {k}": 3 for k in range(4)}


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, done = tmp_path / "set.safetensors", list[tuple[int, bool]]()
    fsync = os.fsync

    def recorded(descriptor: int) -> None:
        done.append((os.fstat(descriptor).st_size, file.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recorded)
    dataset.write_tensors({"latents": torch.zeros(2)}, file, {})
    assert done == [(file.stat().st_size, False)]
