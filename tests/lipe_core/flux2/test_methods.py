"""Methods on the tiny klein: a NIMA edit keeps the background, and methods for SDXL refuse it in words."""

import numpy as np
import pytest
import torch
from PIL import Image

import lipe_core
from lipe_core.errors import InvalidRequest
from lipe_core.flux2 import BaseModel
from lipe_core.methods.nima.config import NimaConfig
from lipe_core.methods.registry import METHODS
from tests.support.editing import TARGET, make_prior
from tests.support.nima_requests import PHOTO, half_mask, request

ELSEWHERE = torch.device("meta")
SETTINGS = {
    "nima_single_pass": {},
    "ddim": {},
    "sdedit": {},
    "imagic": {"embedding_steps": 1, "model_steps": 1},
}


def test_a_text_encoder_in_main_memory_moves_to_the_device_once_for_an_edit(
    klein: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves = [ELSEWHERE]
    encoder = type(klein.text_encoder)
    monkeypatch.setattr(encoder, "device", property(lambda _: moves[-1]))
    monkeypatch.setattr(encoder, "to", lambda _, device: moves.append(device))
    requests = request(TARGET, "a photo of sks dog in a meadow")
    lipe_core.edit(klein, requests, config=NimaConfig(steps=2, reconstruction_steps=0), prior=make_prior(klein))
    assert moves == [ELSEWHERE, klein.device, ELSEWHERE]


def test_a_nima_edit_keeps_every_byte_outside_its_mask(klein: BaseModel, monkeypatch: pytest.MonkeyPatch) -> None:
    everywhere = "lipe_core.methods.nima.edit_mask.changed_region"  # else a random network might change nothing
    monkeypatch.setattr(everywhere, lambda x_0, _, size: torch.ones(1, 1, *size))
    steps = list[tuple[int, int]]()
    (edit,) = lipe_core.edit(
        klein,
        request(TARGET),
        config=NimaConfig(steps=2, reconstruction_steps=1),
        prior=make_prior(klein),
        on_step=lambda *step: steps.append(step),
    )
    outside, changed = np.asarray(edit.edit_mask) == 0, (np.asarray(edit.image) != np.asarray(PHOTO)).any(axis=-1)
    assert outside.any()
    assert changed.any()
    assert not changed[outside].any()
    assert steps[-1][0] == steps[-1][1]


def test_a_users_mask_bounds_the_edit(klein: BaseModel) -> None:
    config = NimaConfig(steps=2, mask_mode="source", reconstruction_steps=1)
    (edit,) = lipe_core.edit(klein, request(TARGET, mask=half_mask()), config=config)
    changed = (np.asarray(edit.image) != np.asarray(PHOTO)).any(axis=-1)
    assert changed.any()
    assert not changed[:, 32:].any()


@pytest.mark.parametrize("method", SETTINGS)
def test_methods_that_need_no_u_net_edit(klein: BaseModel, method: str) -> None:
    config = METHODS[method].config(steps=2, **SETTINGS[method])
    (edit,) = lipe_core.edit(klein, request(TARGET), method, config)
    assert isinstance(edit.image, Image.Image)
    assert edit.image.size == PHOTO.size


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if method.families == ("sdxl",)])
def test_methods_for_sdxl_refuse_it(klein: BaseModel, method: str) -> None:
    with pytest.raises(
        InvalidRequest, match=rf"{method} is made for base models of the family sdxl, .*family flux2: choose from nima"
    ):
        lipe_core.edit(klein, request(TARGET), method, METHODS[method].config())


def test_the_methods_for_one_backbone_are_named() -> None:
    named = {name: method.families for name, method in METHODS.items() if method.families is not None}
    sdxl = dict.fromkeys(("prompt_to_prompt", "masactrl", "dreamctrl", "ledits"), ("sdxl",))
    assert named == sdxl | {"reference_tokens": ("flux2",)}
