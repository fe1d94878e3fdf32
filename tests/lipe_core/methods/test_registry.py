"""Properties of every method: it counts its work, reports its steps and restores the model."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.modules.module import register_module_forward_hook

from lipe_core.adapters.prior import Prior
from lipe_core.errors import InvalidRequest
from lipe_core.methods.mystyle.stylegan2 import Generator
from lipe_core.methods.registry import METHODS
from lipe_core.sdxl import BaseModel
from tests.support.editing import TARGET, MakeRequest, difference


@dataclass(frozen=True)
class Case:
    """Settings for a few steps; the steps that `on_step` reports for one prompt; the evaluations of one edit."""

    settings: dict[str, Any]
    steps: int
    evaluations: int
    seeded: bool = False


# inversion + guided target [+ guided source beside it]; trainings are one pass a step
CASES = {
    # one step is not shared by the two passes; the subject is searched in the source and in the first pass
    "nima": Case({"steps": 3, "reconstruction_steps": 0}, 3 + 3 + 1, 3 + 2 * (3 + 1) + 2 * (5 + 8)),
    "nima_single_pass": Case({"steps": 3}, 3 + 3, 3 + 6),
    "ddim": Case({"steps": 3}, 3 + 3, 3 + 6),
    "sdedit": Case({"steps": 4, "strength": 0.5}, 2, 2 * 2, seeded=True),
    "prompt_to_prompt": Case({"steps": 3}, 3 + 3, 3 + 6 + 6),
    "masactrl": Case({"steps": 3, "start_step": 1}, 3 + 3, 3 + 6 + 6),
    "dreamctrl": Case({"steps": 3, "start_step": 1}, 3 + 3, 3 + 6 + 6),
    "imagic": Case({"steps": 2, "embedding_steps": 2, "model_steps": 1}, 2 + 1 + 2, 2 + 1 + 4, seeded=True),
    "ledits": Case({"steps": 3, "threshold": 0.2, "edit_guidance_scale": 20.0}, 3 + 3, 3 + 6, seeded=True),
    # 3 references; the image alone, then with them, and the edit
    "mystyle": Case(
        {"inversion_steps": 4, "tuning_steps": 2, "projection_steps": 3, "image_steps": 1},
        4 + 2 + 3 + 1 + 1,
        3 * 4 + 3 * 2 + 3 + 4 + 1,
    ),
}
OTHERS = {"reference_tokens"}
"""Methods for the other backbone, whose tests are in `tests/lipe_core/flux2`."""
SEEDED = [name for name, case in CASES.items() if case.seeded]


def configured(name: str) -> Any:
    return METHODS[name].config(**CASES[name].settings)


def test_every_method_is_listed_here() -> None:
    assert set(METHODS) == set(CASES) | OTHERS
    assert {METHODS[name].families for name in OTHERS} == {("flux2",)}


@pytest.mark.parametrize("name", CASES)
def test_an_edit_counts_its_steps_and_evaluations_and_can_be_repeated(
    deep_model: BaseModel, ask: MakeRequest, prior: Prior, name: str
) -> None:
    rows: list[int] = []
    calls: list[tuple[int, int]] = []

    def count(module: torch.nn.Module, args: Any, output: Any) -> None:
        if module is deep_model.unet or isinstance(module, Generator):
            rows.append(len(output) if isinstance(output, torch.Tensor) else len(output[0]))

    hook = register_module_forward_hook(count)
    try:
        (edit,) = METHODS[name].edit(
            deep_model, ask(), configured(name), prior=prior, on_step=lambda *step: calls.append(step)
        )
    finally:
        hook.remove()
    assert edit.evaluations == sum(rows) == CASES[name].evaluations
    assert calls == [(step, CASES[name].steps) for step in range(1, CASES[name].steps + 1)]
    assert edit.image.size == edit.source_mask.size == edit.edit_mask.size == (32, 32)

    names = METHODS[name].config.__dataclass_fields__
    again = METHODS[name].config(**{key: value for key, value in edit.parameters.items() if key in names})
    (repeated,) = METHODS[name].edit(deep_model, ask(), again, prior=prior)
    assert difference(repeated.image, edit.image) < 0.01


@pytest.mark.parametrize("name", CASES)
def test_the_network_is_restored_to_the_bit_when_the_last_step_raises(
    deep_model: BaseModel, ask: MakeRequest, prior: Prior, name: str
) -> None:
    weights = {key: tensor.clone() for key, tensor in deep_model.unet.state_dict().items()}
    processors = dict(deep_model.unet.attn_processors)

    def stop(step: int, steps: int) -> None:
        if step == steps:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        METHODS[name].edit(deep_model, ask(), configured(name), prior=prior, on_step=stop)
    after = deep_model.unet.state_dict()
    assert weights.keys() == after.keys()
    assert all(torch.equal(tensor, after[key]) for key, tensor in weights.items())
    assert deep_model.unet.attn_processors == processors
    assert not deep_model.unet._forward_hooks
    assert not any(weight.requires_grad or weight.grad is not None for weight in deep_model.unet.parameters())


@pytest.mark.parametrize("name", CASES)
def test_rows_are_in_order_and_equal_single_edits(
    deep_model: BaseModel, ask: MakeRequest, prior: Prior, name: str
) -> None:
    other, seeds = "sks dog in a meadow", (3, 4) if CASES[name].seeded else (3,)
    edits = METHODS[name].edit(deep_model, ask(TARGET, other, seeds=seeds), configured(name), prior=prior)
    assert [(edit.target_prompt, edit.seed) for edit in edits] == [(p, s) for p in (TARGET, other) for s in seeds]
    (alone,) = METHODS[name].edit(deep_model, ask(other, seeds=seeds[-1:]), configured(name), prior=prior)
    gaps = np.abs(np.asarray(edits[-1].uncomposited, int) - np.asarray(alone.uncomposited, int))
    assert np.quantile(gaps, 0.99) <= 1  # sums over a batch differ in the last bits
    assert edits[-1].evaluations == alone.evaluations
    assert difference(edits[0].image, edits[-1].image) > 1


@pytest.mark.parametrize("name", [name for name in CASES if METHODS[name].has_negative_prompt])
def test_guidance_leads_away_from_the_negative_prompt(
    deep_model: BaseModel, ask: MakeRequest, prior: Prior, name: str
) -> None:
    (plain,) = METHODS[name].edit(deep_model, ask(), configured(name), prior=prior)
    request = replace(ask(), negative_prompt="a cat in a meadow")
    (edit,) = METHODS[name].edit(deep_model, request, configured(name), prior=prior)
    assert difference(plain.uncomposited, edit.uncomposited) > 0.1
    assert edit.evaluations == plain.evaluations


@pytest.mark.parametrize("name", SEEDED)
def test_a_seed_decides_the_noise(deep_model: BaseModel, ask: MakeRequest, name: str) -> None:
    one, two = METHODS[name].edit(deep_model, ask(seeds=(3, 4)), configured(name))
    assert difference(one.image, two.image) > 1


@pytest.mark.parametrize("name", [name for name in CASES if name not in SEEDED])
def test_several_seeds_without_noise_are_refused(
    deep_model: BaseModel, ask: MakeRequest, prior: Prior, name: str
) -> None:
    with pytest.raises(InvalidRequest, match="seed"):
        METHODS[name].edit(deep_model, ask(seeds=(1, 2)), configured(name), prior=prior)


@pytest.mark.parametrize("name", ["ddim", "imagic", "masactrl", "dreamctrl", "mystyle"])
def test_without_a_mask_the_whole_image_may_change(
    deep_model: BaseModel, ask: MakeRequest, prior: Prior, left_half: Image.Image, name: str
) -> None:
    (edit,) = METHODS[name].edit(deep_model, ask(mask=left_half), configured(name), prior=prior)
    assert np.asarray(edit.edit_mask).min() == 255


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("nima_single_pass", {"dilation": 0.6}),
        ("ddim", {"steps": 0}),
        ("ddim", {"guidance_scale": float("nan")}),
        ("sdedit", {"strength": 0.0}),
        ("sdedit", {"strength": 1.1}),
        ("prompt_to_prompt", {"cross_replace": 1.2}),
        ("prompt_to_prompt", {"threshold": -0.1}),
        ("masactrl", {"start_step": 51}),
        ("masactrl", {"start_layer": -1}),
        ("dreamctrl", {"threshold": 2.0}),
        ("imagic", {"eta": 1.5}),
        ("imagic", {"embedding_steps": -1}),
        ("imagic", {"model_learning_rate": 0.0}),
        ("ledits", {"steps": 1}),
        ("mystyle", {"tuning_steps": -1}),
        ("mystyle", {"beta": float("nan")}),
        ("mystyle", {"projection_learning_rate": 0.0}),
        ("ledits", {"threshold": 1.5}),
        ("ledits", {"zero_noise_steps": 51}),
    ],
)
def test_settings_out_of_range_are_refused(name: str, settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=next(iter(settings))):
        METHODS[name].config(**settings)
