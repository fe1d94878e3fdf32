"""Images beside the target: as diffusers' pipeline reads them, with and without a prior, and inside a mask."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from diffusers import Flux2KleinPipeline
from diffusers.pipelines.flux2.image_processor import Flux2ImageProcessor
from PIL import Image
from torch import Tensor

import lipe_core
from lipe_core import backbone, base_models
from lipe_core.adapters.prior import ADAPTER, Prior, save_prior
from lipe_core.diffusion.ddim import unit_noise
from lipe_core.errors import InvalidRequest
from lipe_core.flux2 import BaseModel
from lipe_core.flux2.references import fitted
from lipe_core.methods.reference_tokens import MOST_REFERENCES, ReferenceTokensConfig
from lipe_core.methods.request import EditRequest
from lipe_core.methods.session import EditSession
from tests.support.editing import SOURCE, difference, make_prior
from tests.support.nima_requests import PHOTO, SUBJECT, half_mask
from tests.support.tiny_checkpoint import write_checkpoint

Images = Literal["source", "references", "both"]
NAMED, PLAIN = "a photo of sks dog jumping", "a photo of dog jumping"
OTHERS = tuple(
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))
    for seed, (height, width) in enumerate([(64, 60), (52, 70), (64, 64)], start=1)
)


def asked(
    mask: Image.Image | None = None, references: tuple[Image.Image, ...] = (), seeds: tuple[int, ...] = (5,)
) -> EditRequest:
    return EditRequest(PHOTO, SOURCE, (NAMED,), SUBJECT, seeds, mask, references)


def edited(
    klein: BaseModel, request: EditRequest, config: ReferenceTokensConfig, prior: Prior | None = None
) -> Image.Image:
    (edit,) = lipe_core.edit(klein, request, "reference_tokens", config, prior=prior)
    return edit.image


@pytest.fixture(scope="module")
def prior(klein: BaseModel) -> Prior:
    return make_prior(klein)


@pytest.fixture(scope="module")
def pipeline(klein_folder: Path) -> Flux2KleinPipeline:
    pipeline = Flux2KleinPipeline.from_pretrained(klein_folder)
    pipeline.set_progress_bar_config(disable=True)
    # The check refuses images of less than 64 pixels, as those of the tiny network are after the cut.
    pipeline.image_processor.check_image_input = lambda image: image
    return pipeline


def latents_of(
    klein: BaseModel,
    request: EditRequest,
    config: ReferenceTokensConfig,
    prior: Prior | None,
    patch: pytest.MonkeyPatch,
) -> Tensor:
    """The clean latents of an edit."""
    found, decode = list[Tensor](), EditSession.decode

    def watched(session: EditSession, x_0: Tensor) -> list[Image.Image]:
        found.append(x_0)
        return decode(session, x_0)

    with patch.context() as patched:
        patched.setattr(EditSession, "decode", watched)
        edited(klein, request, config, prior)
    (latents,) = found
    return latents


def latents_of_pipeline(pipeline: Flux2KleinPipeline, prompt: str, images: list[Image.Image], noise: Tensor) -> Tensor:
    """The pipeline's latents after three steps, as the transformer has them."""
    latents = pipeline(
        image=images, prompt=prompt, height=64, width=64, num_inference_steps=3, guidance_scale=4.0, latents=noise,
        output_type="latent",
    ).images  # fmt: skip
    mean = pipeline.vae.bn.running_mean[:, None, None]
    deviation = (pipeline.vae.bn.running_var[:, None, None] + pipeline.vae.config.batch_norm_eps).sqrt()
    return (pipeline._patchify_latents(latents) - mean) / deviation


@pytest.mark.parametrize(("images", "has_prior"), [("source", False), ("both", False), ("references", True)])
def test_latents_are_those_of_the_pipeline(
    klein: BaseModel, pipeline: Flux2KleinPipeline, tmp_path: Path, prior: Prior, monkeypatch: pytest.MonkeyPatch,
    images: Images, has_prior: bool,
) -> None:  # fmt: skip
    config, request = ReferenceTokensConfig(images=images, steps=3), asked(references=OTHERS[:2])
    ours = latents_of(klein, request, config, prior if has_prior else None, monkeypatch)
    beside = {"source": [PHOTO], "references": [*OTHERS[:2]], "both": [PHOTO, *OTHERS[:2]]}[images]
    noise = unit_noise([5], klein.latent_shape((64, 64)))
    if has_prior:
        save_prior(prior.adapter, prior.manifest, tmp_path / "prior")
        pipeline.load_lora_weights(tmp_path / "prior", weight_name=ADAPTER)
    try:
        theirs = latents_of_pipeline(pipeline, NAMED if has_prior else PLAIN, beside, noise)
    finally:
        pipeline.unload_lora_weights()
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=0)


def test_each_image_has_its_effect(klein: BaseModel, prior: Prior) -> None:
    def made(images: Images, *references: Image.Image, with_prior: Prior | None = None) -> Image.Image:
        return edited(klein, asked(references=references), ReferenceTokensConfig(images=images, steps=2), with_prior)

    results = [
        made("source"),
        made("source", with_prior=prior),
        made("both", OTHERS[0]),
        made("references", OTHERS[0]),
        made("references", *OTHERS[:2]),
        made("references", *reversed(OTHERS[:2])),
    ]
    gaps = [difference(one, other) for number, one in enumerate(results) for other in results[:number]]
    assert min(gaps) > 0


def test_a_mask_keeps_every_byte_outside(klein: BaseModel, prior: Prior) -> None:
    (edit,) = lipe_core.edit(
        klein, asked(half_mask()), "reference_tokens", ReferenceTokensConfig(steps=3, feather=0.05), prior=prior
    )
    changed = (np.asarray(edit.image) != np.asarray(PHOTO)).any(axis=-1)
    assert changed[:, :32].any()
    assert not changed[:, 32:].any()


def test_outside_a_mask_the_latents_end_as_the_sources(klein: BaseModel, monkeypatch: pytest.MonkeyPatch) -> None:
    x_0 = latents_of(klein, asked(half_mask()), ReferenceTokensConfig(steps=2), None, monkeypatch)
    source = backbone.encode_image(klein, [PHOTO])
    assert torch.equal(x_0[..., 8:], source[..., 8:])
    assert not torch.isclose(x_0[..., :8], source[..., :8], atol=1e-2).any(dim=1).all()


def test_rows_equal_single_edits_and_count_their_evaluations(klein: BaseModel) -> None:
    config = ReferenceTokensConfig(images="both", steps=2)
    edits = lipe_core.edit(klein, asked(references=OTHERS, seeds=(4, 5)), "reference_tokens", config)
    assert difference(edits[0].image, edits[1].image) > 1
    assert difference(edits[1].image, edited(klein, asked(references=OTHERS), config)) < 0.01
    assert [edit.evaluations for edit in edits] == [2 * 2, 2 * 2]


def test_further_references_are_left_out(klein: BaseModel) -> None:
    config = ReferenceTokensConfig(images="references", steps=1)
    many = tuple(PHOTO.rotate(10 * k) for k in range(MOST_REFERENCES + 1))
    first = edited(klein, asked(references=many[:-1]), config)
    assert difference(edited(klein, asked(references=many), config), first) == 0


def test_missing_references_are_refused(klein: BaseModel) -> None:
    with pytest.raises(InvalidRequest, match="has no references: give some, or set images to source"):
        edited(klein, asked(), ReferenceTokensConfig(images="both"))


def test_sdxl_refuses_it_in_words(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    with pytest.raises(
        InvalidRequest, match=r"reference_tokens is made for base models of the family flux2, .* sdxl: choose from nima"
    ):
        lipe_core.edit(base_models.load(tmp_path), asked(), "reference_tokens", ReferenceTokensConfig())


@pytest.mark.parametrize("size", [(300, 200), (130, 517), (2000, 1501), (90, 64)])
def test_a_reference_has_the_pipelines_shape(klein_folder: Path, size: tuple[int, int]) -> None:
    image = OTHERS[0].resize(size, Image.Resampling.BICUBIC)
    limited = Flux2ImageProcessor._resize_if_exceeds_area(image, 256 * 256)
    width, height = (side // 16 * 16 for side in limited.size)
    theirs = Flux2ImageProcessor()._resize_and_crop(limited, width, height)
    assert np.array_equal(np.asarray(fitted(image, 256 * 256, 16)), np.asarray(theirs))
