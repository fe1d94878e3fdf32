from pathlib import Path

import pytest
import torch
from PIL import Image

from lipe_core import dataset, sdxl
from lipe_core.sdxl import BaseModel
from lipe_core.subject import Sample


def samples(*sizes: tuple[int, int]) -> list[Sample]:
    return [Sample(Image.new("RGB", size, (40 * k, 90, 200)), f"a sks dog {k}") for k, size in enumerate(sizes)]


def test_pictures_of_any_size_become_rows_of_the_native_size(model: BaseModel) -> None:
    encoded = dataset.encode(model, samples((64, 64), (200, 100), (70, 300)))
    assert encoded.latents.shape == (3, *model.latent_shape((model.native_size,) * 2))
    torch.testing.assert_close(
        encoded.latents[:1], sdxl.encode_image(model, [samples((64, 64))[0].image]), rtol=1e-3, atol=1e-3
    )
    assert encoded.captions == ("a sks dog 0", "a sks dog 1", "a sks dog 2")


def test_nothing_to_encode_is_an_error(model: BaseModel) -> None:
    with pytest.raises(ValueError, match="at least one"):
        dataset.encode(model, [])


def test_a_saved_set_comes_back_as_it_was(model: BaseModel, tmp_path: Path) -> None:
    encoded = dataset.encode(model, samples((64, 64), (64, 64)))
    dataset.save(encoded, tmp_path / "set.safetensors")
    loaded = dataset.load(tmp_path / "set.safetensors")
    assert torch.equal(loaded.latents, encoded.latents)
    assert torch.equal(loaded.conditioning.prompt_embeds, encoded.conditioning.prompt_embeds)
    assert loaded.captions == encoded.captions
    assert [file.name for file in tmp_path.iterdir()] == ["set.safetensors"]


def test_every_row_comes_once_in_each_round_and_a_step_repeats(model: BaseModel) -> None:
    encoded = dataset.encode(model, samples(*[(64, 64)] * 3))
    seen = [caption for step in range(6) for caption in dataset.batch(encoded, step, 2, seed=5).captions]
    for k in range(0, 12, 3):
        assert sorted(seen[k : k + 3]) == sorted(encoded.captions)
    assert dataset.batch(encoded, 4, 2, seed=5).captions == tuple(seen[8:10])
    assert len(dataset.batch(encoded, 0, 7, seed=5)) == 7
