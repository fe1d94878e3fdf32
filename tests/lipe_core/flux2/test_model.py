"""The tiny klein equals diffusers' pipeline: prompts, images, and whole runs of sampling."""

import re
from pathlib import Path

import pytest
import torch
from diffusers import Flux2KleinPipeline

from lipe_core import backbone
from lipe_core.diffusion.ddim import unit_noise
from lipe_core.errors import PromptTooLong, WordNotFound
from lipe_core.flux2 import BaseModel

PROMPT = "a photo of sks dog jumping"


@pytest.fixture(scope="module")
def pipeline(klein_folder: Path) -> Flux2KleinPipeline:
    pipeline = Flux2KleinPipeline.from_pretrained(klein_folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_prompts_are_those_of_the_pipeline(klein: BaseModel, pipeline: Flux2KleinPipeline) -> None:
    prompts = [PROMPT, "", "user of assistant <|im_end|>"]
    with torch.no_grad():
        theirs, _ = pipeline.encode_prompt(prompts, device=torch.device("cpu"))
    assert torch.equal(klein.encode_prompt(prompts, size=(64, 64)).prompt_embeds, theirs)


def test_latents_are_those_of_the_pipeline_and_decode_to_its_image(
    klein: BaseModel, pipeline: Flux2KleinPipeline
) -> None:
    pixels = torch.rand(2, 3, 64, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        ours, theirs = klein.encode_pixels(pixels), pipeline._encode_vae_image(pixels, None)
        torch.testing.assert_close(ours, theirs)
        assert ours.shape[1:] == klein.latent_shape((64, 48))
        decoded = pipeline.vae.decode(pipeline.vae.encode(pixels).latent_dist.mode()).sample
        torch.testing.assert_close(klein.decode_pixels(ours), decoded, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("size", "steps"), [((64, 64), 4), ((48, 80), 7)])
def test_a_run_of_sampling_is_the_pipelines(
    klein: BaseModel, pipeline: Flux2KleinPipeline, size: tuple[int, int], steps: int
) -> None:
    latents = backbone.generate_latents(klein, [PROMPT], [3], size=size, steps=steps, guidance_scale=4.0)
    with torch.no_grad():
        image = pipeline(
            prompt=PROMPT, height=size[0], width=size[1], num_inference_steps=steps, guidance_scale=4.0,
            latents=unit_noise([3], klein.latent_shape(size)), output_type="pt",
        ).images  # fmt: skip
        ours = ((klein.decode_pixels(latents) + 1) / 2).clamp(0, 1)
    torch.testing.assert_close(ours, image, atol=1e-3, rtol=0)


def test_the_grid_is_the_schedulers(klein: BaseModel, pipeline: Flux2KleinPipeline) -> None:
    from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu

    for size, steps in (((64, 64), 4), ((256, 256), 50), ((332, 332), 20)):  # at most 6889 tokens
        tokens = size[0] * size[1] // klein.factor**2
        sigmas = [1 - k / steps for k in range(steps)]
        pipeline.scheduler.set_timesteps(sigmas=sigmas, mu=compute_empirical_mu(tokens, steps))
        ours = klein.schedule.level(klein.timesteps(steps, size)).flip(0)
        torch.testing.assert_close(ours, pipeline.scheduler.sigmas, atol=2e-5, rtol=0)


@pytest.mark.parametrize("prompt", [PROMPT, "sks dog", "user sks dog, assistant Dog", "  a dog and sks"])
def test_words_are_found_inside_the_template(klein: BaseModel, prompt: str) -> None:
    text = klein.tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    ids = klein.tokenizer(text).input_ids
    positions = klein.token_positions(prompt, ["sks", "dog"])
    found = "".join(klein.tokenizer.decode([ids[position]]) for position in positions).split()
    assert sorted("".join(found).lower()) == sorted("".join(re.findall("sks|dog", prompt.lower())))
    content = klein.content_positions(prompt)
    assert klein.tokenizer.decode(ids[content.start : content.stop]) == prompt
    assert set(positions) <= set(content)


def test_a_missing_word_is_refused(klein: BaseModel) -> None:
    with pytest.raises(WordNotFound, match="'cat' is not among the first 6 tokens of"):
        klein.token_positions(PROMPT, ["cat"])


def test_a_long_prompt_is_refused_and_shortened(klein: BaseModel) -> None:
    long = " ".join(["dog"] * 600)
    with pytest.raises(PromptTooLong, match=r"has \d+ tokens, and the base model reads \d+: shorten it"):
        klein.require_length(long)
    short = klein.shortened(long, ", jumping")
    klein.require_length(short + ", jumping")
    assert len(klein.content_positions(short + ", jumping")) == len(
        klein.tokenizer(short + ", jumping", add_special_tokens=False).input_ids
    )
    assert klein.shortened(PROMPT) == PROMPT


def test_the_text_encoder_returns_to_where_it_was(klein: BaseModel) -> None:
    klein.fit_gpu(1)
    assert klein.text_encoder.device.type == "cpu"
    assert klein.vae.use_slicing
    klein.vae.disable_slicing()
