import numpy as np
import pytest
from diffusers import DDIMScheduler, StableDiffusionXLPipeline

from lipe_core import sdxl
from lipe_core.diffusion.ddim import unit_noise
from tests.support.tiny_checkpoint import write_checkpoint

PROMPTS = ["a photo of sks dog jumping", "a cat sitting in a meadow"]


@pytest.fixture
def pipeline(tiny_checkpoint):
    pipeline = StableDiffusionXLPipeline.from_pretrained(tiny_checkpoint, add_watermarker=False)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize("size", [(64, 64), (80, 48)])
@pytest.mark.parametrize("guidance_scale", [1.0, 6.0])
def test_it_generates_what_the_diffusers_pipeline_generates(model, pipeline, size, guidance_scale):
    theirs = pipeline(
        PROMPTS,
        height=size[0],
        width=size[1],
        num_inference_steps=4,
        guidance_scale=guidance_scale,
        latents=unit_noise([5, 6], model.latent_shape(size)),
        output_type="np",
    ).images
    ours = sdxl.generate_images(model, PROMPTS, [5, 6], size=size, steps=4, guidance_scale=guidance_scale)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(np.asarray(mine) / 255, other, atol=1.01 / 255)


def test_v_prediction_generates_what_the_diffusers_pipeline_generates(tmp_path):
    write_checkpoint(tmp_path, prediction_type="v_prediction", latent_channels=16)
    model = sdxl.load(tmp_path)
    assert model.prediction_type == "v_prediction"
    pipeline = StableDiffusionXLPipeline.from_pretrained(tmp_path, add_watermarker=False)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)
    pipeline.set_progress_bar_config(disable=True)
    latents = unit_noise([7], model.latent_shape((64, 64)))
    theirs = pipeline(PROMPTS[:1], height=64, width=64, num_inference_steps=3, latents=latents, output_type="np")
    (ours,) = sdxl.generate_images(model, PROMPTS[:1], [7], size=(64, 64), steps=3)
    np.testing.assert_allclose(np.asarray(ours) / 255, theirs.images[0], atol=1.01 / 255)


def test_an_image_of_a_batch_equals_its_seed_alone(model):
    batch = sdxl.generate_images(model, PROMPTS, [1, 2], size=(64, 64), steps=2)
    (alone,) = sdxl.generate_images(model, PROMPTS[1:], [2], size=(64, 64), steps=2)
    np.testing.assert_allclose(np.asarray(batch[1], int), np.asarray(alone, int), atol=1)
