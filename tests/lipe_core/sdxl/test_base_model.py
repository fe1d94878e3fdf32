import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from lipe_core import sdxl
from lipe_core.backbone import bucket
from lipe_core.errors import InvalidModel
from lipe_core.methods.mystyle.face_generator import FOLDER
from tests.support.tiny_checkpoint import write_checkpoint
from tests.support.toy_faces import write_toy_faces

PROMPT = "a photo of sks dog jumping"


def image(size=(64, 64), seed=0):
    height, width = size
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_the_clean_end_is_the_one_of_the_checkpoint(model):
    assert 1 - model.schedule.alpha(0) == pytest.approx(0.000425, rel=0.01)  # set_alpha_to_one=False


@pytest.mark.parametrize(
    "vae_config",
    [
        {"scaling_factor": 0.3},
        {"scaling_factor": 0.3, "shift_factor": 0.2},
        {"scaling_factor": 0.5, "latents_mean": [0.1, 0.2, 0.3, 0.4], "latents_std": [1.0, 2.0, 3.0, 4.0]},
    ],
    ids=["factor", "shift", "statistics"],
)
def test_latents_are_the_normalized_mean_and_decode_inverts_it(tmp_path, vae_config):
    write_checkpoint(tmp_path, vae_config=vae_config)
    model = sdxl.load(tmp_path)
    images = [image(), image(seed=1)]
    latents = sdxl.encode_image(model, images)
    pixels = torch.from_numpy(np.stack([np.asarray(i) for i in images])).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        mean = model.vae.encode(pixels).latent_dist.mean
        expected = model.vae.decode(mean).sample
    std = torch.tensor(vae_config.get("latents_std", [1.0]))[None, :, None, None]
    shift = torch.tensor(vae_config.get("latents_mean", [vae_config.get("shift_factor", 0.0)]))
    torch.testing.assert_close(latents, (mean - shift[None, :, None, None]) * vae_config["scaling_factor"] / std)
    decoded = torch.from_numpy(np.stack([np.asarray(i) for i in sdxl.decode(model, latents)]))
    expected = ((expected + 1) * 127.5).round().clamp(0, 255).permute(0, 2, 3, 1)
    assert (decoded - expected).abs().max() <= 1


def test_gradients_reach_the_network_but_not_through_the_denoiser(model):
    cond = sdxl.encode_prompt(model, [PROMPT], size=(64, 64))
    x_t = torch.randn(1, *model.latent_shape((64, 64))).requires_grad_()
    assert sdxl.predict(model, x_t, torch.tensor([10]), cond).requires_grad
    assert not sdxl.denoiser(model, cond)(x_t, 10).requires_grad


def test_a_half_precision_network_predicts_in_float32(tiny_checkpoint):
    model = sdxl.load(tiny_checkpoint, dtype=torch.bfloat16)
    assert model.unet.dtype == model.vae.dtype == torch.bfloat16
    eps = sdxl.denoiser(model, sdxl.encode_prompt(model, [PROMPT], size=(64, 64)))(torch.zeros(1, 4, 32, 32), 500)
    assert eps.dtype == torch.float32
    assert eps.isfinite().all()


def test_vae_never_runs_in_float16(tiny_checkpoint):
    assert sdxl.load(tiny_checkpoint, dtype=torch.float16).vae.dtype == torch.float32


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((64, 64), (64, 64)),
        ((80, 48), (80, 48)),
        ((640, 480), (76, 56)),
        ((31, 63), (44, 88)),
        ((20, 20), (64, 64)),
    ],
)
def test_sizes_become_buckets_of_the_native_area(model, size, expected):
    working = sdxl.native_shape(model, size)
    assert working == expected
    model.latent_shape(working)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1024, 1024), (1024, 1024)),
        ((3024, 4032), (896, 1216)),
        ((2000, 3000), (832, 1280)),
        ((1920, 1080), (1344, 768)),
        ((1000, 8000), (384, 2944)),
        ((1000, 1000), (1024, 1024)),
    ],
)
def test_sdxls_buckets_have_sides_of_64_pixels(size, expected):
    assert bucket(size, native_size=1024, grain=32) == expected


def test_a_coarse_network_has_the_multiples_of_its_levels():
    assert bucket((128, 128), native_size=128, grain=32) == (128, 128)
    assert bucket((300, 400), native_size=128, grain=32) == (96, 160)


def test_sizes_that_do_not_fit_the_latent_grid_are_refused(model):
    with pytest.raises(ValueError, match="multiples of 2"):
        model.latent_shape((63, 64))


def test_fingerprints_distinguish_weights(model, tiny_checkpoint, tmp_path):
    assert sdxl.load(tiny_checkpoint).fingerprint == model.fingerprint
    shutil.copytree(tiny_checkpoint, tmp_path / "with_faces")
    write_toy_faces(tmp_path / "with_faces" / FOLDER)
    assert sdxl.load(tmp_path / "with_faces").fingerprint == model.fingerprint  # a prior does not depend on them
    write_checkpoint(tmp_path, latent_channels=8)
    assert sdxl.load(tmp_path).fingerprint != model.fingerprint


def test_only_safetensors_are_read(tiny_checkpoint, tmp_path):
    folder = tmp_path / "copy"
    folder.mkdir()
    for file in tiny_checkpoint.rglob("*"):
        if file.is_file():
            target = folder / file.relative_to(tiny_checkpoint)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(file.read_bytes())
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(InvalidModel, match="only pickled weights in unet"):
        sdxl.load(folder)
