"""The VAE's slices and tiles on a GPU with little memory."""

import pytest

from lipe_core.checkpoint import sdxl_memory
from lipe_core.sdxl import BaseModel, tiled


@pytest.mark.parametrize(("card", "tiles"), [(12, True), (16, False), (24, False)])
def test_a_small_gpu_needs_tiles_beside_the_true_sdxl(card: int, tiles: bool) -> None:
    assert sdxl_memory.needs_tiles(card * 10**9, sdxl_memory.RESIDENT) == tiles


@pytest.mark.parametrize(("card", "tiles"), [(8, True), (24, False)])
def test_the_vae_takes_slices_on_a_gpu_and_tiles_on_a_small_one(model: BaseModel, card: int, tiles: bool) -> None:
    with tiled(model):  # restores the tiles of the VAE
        model.vae.disable_tiling()
        try:
            model.fit_gpu(card * 10**9)
            assert (model.vae.use_slicing, model.vae.use_tiling) == (True, tiles)
        finally:
            model.vae.disable_slicing()
