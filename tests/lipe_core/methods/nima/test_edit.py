"""Whole edits on a random network: properties that do not depend on the weights."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lipe_core import sdxl
from lipe_core.diffusion.ddim import Trajectory, sample
from lipe_core.diffusion.schedule import NoiseSchedule
from lipe_core.errors import InvalidRequest
from lipe_core.masks import mask_ops
from lipe_core.masks.localization import SubjectFinder
from lipe_core.methods.nima import edit as nima
from lipe_core.methods.nima.config import MaskMode, NimaConfig
from lipe_core.methods.nima.edit_mask import EditMask, union_mask
from lipe_core.methods.nima.source import Source
from lipe_core.methods.request import EditRequest
from lipe_core.sdxl import BaseModel
from lipe_core.shapes import Latents, PixelMask
from lipe_core.subject import Subject
from tests.support.editing import SOURCE, TARGET, make_prior
from tests.support.nima_requests import CONFIG, PHOTO, SUBJECT, box, find_in_turn, half_mask, request

OLD, NEW = box(slice(16, 44), slice(6, 26)), box(slice(20, 48), slice(30, 50))
OTHER = "sks dog in a meadow"


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


@pytest.mark.parametrize("mode", ["union", "source"])
def test_outside_the_mask_the_image_keeps_its_bytes(
    model: BaseModel, mode: MaskMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_in_turn(monkeypatch, OLD, NEW)
    (edit,) = nima.edit(model, request(), replace(CONFIG, mask_mode=mode))
    kept, silhouettes = np.asarray(edit.edit_mask) == 0, [OLD, NEW] if mode == "union" else [OLD]
    inside = mask_ops.union(*silhouettes)[0, 0].numpy() > 0
    assert kept.mean() > 0.4
    assert not kept[inside].mean() > 0.1
    assert (np.asarray(edit.image)[kept] == np.asarray(PHOTO)[kept]).all()
    assert np.abs(pixels(edit.image)[inside] - pixels(PHOTO)[inside]).mean() > 8
    assert (np.asarray(edit.uncomposited)[kept] != np.asarray(PHOTO)[kept]).any()


def test_the_users_mask_alone_decides_in_source_mode(model: BaseModel) -> None:
    (edit,) = nima.edit(model, request(mask=half_mask()), NimaConfig(steps=4, mask_mode="source"))
    kept = np.asarray(edit.edit_mask) == 0
    assert 0.3 < kept.mean() < 0.6
    assert not kept[:, :32].any()
    assert (np.asarray(edit.image)[kept] == np.asarray(PHOTO)[kept]).all()
    assert (np.asarray(edit.image)[~kept] != np.asarray(PHOTO)[~kept]).any()


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The results of the parts of the next edit: both passes' latents, the source's trajectory and the mask."""
    seen: dict[str, Any] = {}
    two_passes = nima.two_passes

    def observed_mask(source: Source, figure: PixelMask, x_0: Latents, config: NimaConfig) -> EditMask:
        seen["first"] = x_0
        return union_mask(source, figure, x_0, config)

    def observed_passes(session: Any, denoise: Any, source: Source, *rest: Any) -> tuple[Latents, EditMask]:
        seen["source"] = source
        seen["second"], seen["mask"] = two_passes(session, denoise, source, *rest)
        return seen["second"], seen["mask"]

    monkeypatch.setattr(nima, "union_mask", observed_mask)
    monkeypatch.setattr(nima, "two_passes", observed_passes)
    return seen


def test_latents_outside_the_mask_end_as_the_sources(
    model: BaseModel, passes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    find_in_turn(monkeypatch, OLD, NEW)
    nima.edit(model, request(TARGET, OTHER), CONFIG)
    x_0, source_x_0 = passes["second"], passes["source"].trajectory.x_0.expand_as(passes["second"])
    outside = (passes["mask"].latents == 0).expand_as(x_0)
    assert 0.3 < outside.float().mean() < 0.9
    assert torch.equal(x_0[outside], source_x_0[outside])
    assert (x_0[~outside] != source_x_0[~outside]).all()
    assert not torch.equal(passes["first"][outside], source_x_0[outside])


def test_with_everything_in_the_mask_both_passes_are_the_same(
    model: BaseModel, passes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = box(slice(None), slice(None))
    find_in_turn(monkeypatch, everything, everything)
    nima.edit(model, request(), replace(CONFIG, margin=0.5))
    assert passes["mask"].latents.min() == 1
    assert torch.equal(passes["second"], passes["first"])


def test_previews_are_the_images_of_the_first_pass(model: BaseModel, passes: dict[str, Any]) -> None:
    previews: list[list[Image.Image]] = []
    steps: list[int] = []
    at: list[int] = []

    def on_preview(images: list[Image.Image]) -> None:
        previews.append(images)
        at.append(steps[-1])

    edits = nima.edit(
        model, request(TARGET, OTHER), CONFIG, on_preview=on_preview, on_step=lambda step, _: steps.append(step)
    )
    (images,) = previews
    assert at == [10]  # after the inversion and the first pass
    assert [image.tobytes() for image in images] == [image.tobytes() for image in sdxl.decode(model, passes["first"])]
    assert images[0].tobytes() != edits[0].image.tobytes()


@pytest.mark.parametrize("mode", ["source", "none"])
def test_without_a_search_for_the_figure_there_is_one_pass_and_no_preview(
    model: BaseModel, mode: MaskMode, passes: dict[str, Any]
) -> None:
    previews: list[Any] = []
    calls: list[tuple[int, int]] = []
    config = replace(CONFIG, mask_mode=mode)
    (edit,) = nima.edit(model, request(), config, on_preview=previews.append, on_step=lambda *step: calls.append(step))
    assert previews == []
    assert "first" not in passes
    assert calls[:10] == [(step, 10) for step in range(1, 11)]
    assert edit.evaluations == 5 + 2 * 5 + SubjectFinder(model, SUBJECT).evaluations


def test_without_a_mask_the_whole_image_is_generated(model: BaseModel) -> None:
    (edit,) = nima.edit(model, request(), NimaConfig(steps=4, mask_mode="none"))
    assert np.asarray(edit.edit_mask).min() == 255
    assert (np.asarray(edit.image) == np.asarray(edit.uncomposited)).all()


@pytest.fixture
def evaluated(model: BaseModel) -> Any:
    """The (rows, timestep) of each evaluation of the network."""
    seen: list[tuple[int, int]] = []
    hook = model.unet.register_forward_pre_hook(lambda unet, inputs: seen.append((len(inputs[0]), int(inputs[1][0]))))
    yield seen
    hook.remove()


def test_inversion_and_passes_have_one_grid_and_share_the_first_steps(
    model: BaseModel, evaluated: list[tuple[int, int]]
) -> None:
    grid = model.schedule.leaning_timesteps(5, 2.0).tolist()
    nima.edit(model, request(mask=half_mask()), CONFIG)  # no search in the source
    assert evaluated[:5] == [(1, t) for t in grid[:-1]]
    first, second = [(2, t) for t in grid[:0:-1]], [(2, t) for t in grid[2:0:-1]]
    assert evaluated[5:10] == first
    assert evaluated[-2:] == second
    search = evaluated[10:-2]  # not guided: each row once, many in one call
    assert sum(rows for rows, _ in search) == SubjectFinder(model, SUBJECT).evaluations
    assert len(search) <= 3


@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
def test_prompts_share_one_inversion_and_equal_single_edits(
    model: BaseModel, guidance_scale: float, evaluated: list[tuple[int, int]]
) -> None:
    config = replace(CONFIG, guidance_scale=guidance_scale)
    first, second = nima.edit(model, request(TARGET, OTHER), config)
    rows = sum(rows for rows, _ in evaluated)
    (alone,) = nima.edit(model, request(OTHER), config)
    assert (first.target_prompt, second.target_prompt) == (TARGET, OTHER)
    assert np.quantile(np.abs(pixels(second.uncomposited) - pixels(alone.uncomposited)), 0.99) <= 1
    finder = SubjectFinder(model, SUBJECT).evaluations
    shared, own = 5 + finder, (2 if guidance_scale != 1 else 1) * (5 + 2) + finder
    assert first.evaluations == second.evaluations == alone.evaluations == shared + own
    assert rows == shared + 2 * own


def test_an_edit_of_20_steps_with_guidance_needs_at_most_140_evaluations(
    model: BaseModel, evaluated: list[tuple[int, int]]
) -> None:
    cat = EditRequest(PHOTO, "a photo of sks cat sitting", ("a photo of sks cat jumping",), Subject("sks", "cat"))
    (edit,) = nima.edit(model, cat, NimaConfig(steps=20, guidance_scale=3.0))
    assert edit.evaluations == sum(rows for rows, _ in evaluated) <= 140


def test_each_seed_gives_its_own_image(model: BaseModel) -> None:
    config = NimaConfig(steps=4, renoise=1.0, mask_mode="none")
    seven, eight = nima.edit(model, request(seeds=(7, 8)), config)
    (alone,) = nima.edit(model, request(seeds=(8,)), config)
    assert np.abs(pixels(seven.image) - pixels(eight.image)).max() > 8
    assert np.abs(pixels(alone.image) - pixels(eight.image)).max() <= 2


def test_several_seeds_without_renoise_are_refused(model: BaseModel) -> None:
    with pytest.raises(InvalidRequest, match="renoise"):
        nima.edit(model, request(seeds=(1, 2)), CONFIG)


def test_guidance_strengthens_only_what_differs_from_the_source_prompt(model: BaseModel) -> None:
    def generated(target: str, guidance_scale: float) -> np.ndarray:
        (edit,) = nima.edit(model, request(target), replace(CONFIG, mask_mode="none", guidance_scale=guidance_scale))
        return pixels(edit.uncomposited)

    assert np.abs(generated(SOURCE, 9.0) - generated(SOURCE, 1.0)).max() <= 1
    assert np.abs(generated(TARGET, 9.0) - generated(TARGET, 1.0)).max() > 8


def test_an_image_of_another_size_keeps_its_size(model: BaseModel) -> None:
    wide = PHOTO.resize((150, 100))
    whole = replace(CONFIG, crop=False)  # where random weights see a subject, and so a crop, depends on the machine
    (edit,) = nima.edit(model, request(image=wide), whole)
    assert edit.image.size == edit.source_mask.size == edit.edit_mask.size == (150, 100)
    kept = np.asarray(edit.edit_mask) == 0
    assert (np.asarray(edit.image)[kept] == np.asarray(wide)[kept]).all()
    assert (edit.parameters["height"], edit.parameters["width"]) == sdxl.native_shape(model, (100, 150))


@pytest.mark.parametrize("stopped_at", [3, 9, 12])
def test_the_network_is_restored_when_a_step_of_any_part_raises(model: BaseModel, stopped_at: int) -> None:
    def refuse(step: int, steps: int) -> None:
        if step == stopped_at:
            raise KeyError(steps)

    restored_after(model, KeyError, on_step=refuse)


def test_the_network_is_restored_when_a_preview_raises(model: BaseModel) -> None:
    def refuse(images: list[Image.Image]) -> None:
        raise KeyError(len(images))

    restored_after(model, KeyError, on_preview=refuse)


def restored_after(model: BaseModel, error: type[Exception], **callbacks: Any) -> None:
    """Assert that an edit raises the error and leaves weights, processors and hooks as they were."""
    processors = dict(model.unet.attn_processors)
    weights = {name: weight.clone() for name, weight in model.unet.state_dict().items()}
    with pytest.raises(error):
        nima.edit(model, request(), CONFIG, prior=make_prior(model), **callbacks)
    assert model.unet.attn_processors == processors
    after = model.unet.state_dict()
    assert after.keys() == weights.keys()
    assert all(torch.equal(after[name], weight) for name, weight in weights.items())
    assert not any(module._forward_hooks for module in model.unet.modules())


@pytest.mark.parametrize(("mode", "total"), [("union", 5 + 5 + 2), ("source", 5 + 5)])
def test_progress_counts_inversion_and_passes_and_repeats_the_last_step(
    model: BaseModel, mode: MaskMode, total: int
) -> None:
    calls: list[tuple[int, int]] = []
    config = replace(CONFIG, mask_mode=mode, reconstruction_steps=2)
    nima.edit(model, request(), config, on_step=lambda *step: calls.append(step))
    assert calls == [*((step, total) for step in range(1, total + 1)), (total, total), (total, total)]
    assert nima.step_count(config) == total


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_few_steps_are_enough_for_an_edit(model: BaseModel, steps: int) -> None:
    calls: list[tuple[int, int]] = []
    config = NimaConfig(steps=steps, reconstruction_steps=0)
    nima.edit(model, request(), config, on_step=lambda *step: calls.append(step))
    total = nima.step_count(config)
    assert calls == [(step, total) for step in range(1, total + 1)]


def test_an_edit_can_be_repeated_from_its_parameters(model: BaseModel) -> None:
    (edit,) = nima.edit(model, request(), CONFIG)
    names = NimaConfig.__dataclass_fields__
    again = NimaConfig(**{name: value for name, value in edit.parameters.items() if name in names})
    (repeated,) = nima.edit(model, request(edit.parameters["target_prompt"]), again)
    assert (np.asarray(repeated.image) == np.asarray(edit.image)).all()


def test_reading_the_source_features_costs_no_evaluation(model: BaseModel) -> None:
    (never,), (late,), (always,) = (
        nima.edit(model, request(), replace(CONFIG, source_attention_start=start)) for start in (1.0, 0.6, 0.0)
    )
    assert len({edit.uncomposited.tobytes() for edit in (never, late, always)}) == 3
    assert never.evaluations == always.evaluations


def test_blended_steps_follow_the_trajectory_outside_the_mask_and_the_network_inside() -> None:
    schedule, draw = NoiseSchedule.scaled_linear(), torch.Generator().manual_seed(0)
    grid = schedule.leaning_timesteps(4, 2.0)
    trajectory = Trajectory(grid, torch.randn(5, 1, 2, 4, 6, generator=draw))
    x_t, mask = torch.randn(3, 2, 4, 6, generator=draw), torch.zeros(3, 1, 4, 6)
    mask[..., :2] = 1
    inputs: list[tuple[int, Latents]] = []

    def denoise(x_t: Latents, t: int) -> Latents:  # each latent by itself, so that the blend cannot leak inside
        inputs.append((t, x_t))
        return torch.tanh(x_t)

    x_0 = nima.denoise_blended(denoise, schedule, x_t, trajectory, mask, lambda step, steps: None)
    for t, latents in [*inputs, (0, x_0)]:
        assert torch.equal(latents[..., 2:], trajectory.at(t)[..., 2:].expand(3, -1, -1, -1))
    assert torch.equal(x_0[..., :2], sample(denoise, schedule, x_t, grid)[..., :2])


@pytest.mark.parametrize("mode", ["union", "source", "none"])
def test_outside_the_users_mask_nothing_changes(
    model: BaseModel, monkeypatch: pytest.MonkeyPatch, mode: MaskMode
) -> None:
    find_in_turn(monkeypatch, box(slice(None), slice(None)))  # the figure is everywhere in the first pass
    (edit,) = nima.edit(model, request(mask=half_mask()), NimaConfig(steps=5, mask_mode=mode))
    changed = np.asarray(edit.image) != np.asarray(PHOTO)
    assert not changed[:, 32:].any()
    assert changed[:, :28].any()
