"""The paper's single pass: M_s from the inversion, and M_e again at every step."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from lipe_core.masks import mask_ops
from lipe_core.methods import nima_single_pass
from lipe_core.methods.nima_single_pass import NimaSinglePassConfig
from lipe_core.sdxl import BaseModel
from lipe_core.shapes import Latents, Mask
from tests.support.nima_requests import PHOTO, half_mask, request

CONFIG = NimaSinglePassConfig(steps=4, dilation=0.0)


@pytest.fixture
def subject_masks(monkeypatch: pytest.MonkeyPatch) -> list[Mask]:
    """The masks of each map, in their order. Only a quarter of the latents is the subject."""
    masks: list[Mask] = []

    def quarter(attention: Mask, size: tuple[int, int], config: NimaSinglePassConfig) -> Mask:
        maps = mask_ops.resize(attention, size)
        masks.append((maps > maps.flatten(1).quantile(0.75, dim=1)[:, None, None, None]).to(maps))
        return masks[-1]

    monkeypatch.setattr(nima_single_pass, "subject_mask", quarter)
    return masks


@pytest.fixture
def blends(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Mask, Latents, Latents]]:
    """The mask, the source's latents and the result of each blend."""
    seen: list[tuple[Mask, Latents, Latents]] = []
    blend: Callable[..., Latents] = mask_ops.blend

    def observed(edit: Latents, source: Latents, mask: Mask) -> Latents:
        seen.append((mask, source, blend(edit, source, mask)))
        return seen[-1][2]

    monkeypatch.setattr(mask_ops, "blend", observed)
    return seen


def test_every_step_has_its_own_mask_beside_that_of_the_inversion(
    model: BaseModel, subject_masks: list[Mask], blends: list[Any]
) -> None:
    (edit,) = nima_single_pass.edit(model, request(), CONFIG)
    assert len(subject_masks) == 1 + len(blends) == 1 + 4
    m_s, *m_e = subject_masks
    assert len({mask.numpy().tobytes() for mask in m_e}) > 1
    for mask, (used, _, _) in zip(m_e, blends, strict=True):
        assert torch.equal(used, mask_ops.union(m_s, mask))
    last = mask_ops.resize(blends[-1][0], (64, 64))[0, 0].numpy() > 0.99
    assert (np.asarray(edit.edit_mask)[last] == 255).all()
    assert np.array_equal(np.asarray(edit.source_mask) > 127, m_s[0, 0].numpy().repeat(2, 0).repeat(2, 1) > 0)


def test_the_source_stays_outside_the_last_mask(model: BaseModel, subject_masks: list[Mask], blends: list[Any]) -> None:
    (edit,) = nima_single_pass.edit(model, request(), CONFIG)
    mask, source, x_0 = blends[-1]
    outside = (mask == 0).expand_as(x_0)
    assert torch.equal(x_0[outside], source[outside])
    kept = np.asarray(edit.edit_mask) == 0
    assert 0.05 < kept.mean() < 0.9
    assert (np.asarray(edit.image)[kept] == np.asarray(PHOTO)[kept]).all()
    assert (np.asarray(edit.image)[~kept] != np.asarray(PHOTO)[~kept]).any()


def test_the_users_mask_takes_the_place_of_that_of_the_inversion(
    model: BaseModel, subject_masks: list[Mask], blends: list[Any]
) -> None:
    (edit,) = nima_single_pass.edit(model, request(mask=half_mask()), CONFIG)
    assert len(subject_masks) == len(blends) == 4
    left = torch.zeros(1, 1, 32, 32)
    left[..., :16] = 1
    assert all(
        torch.equal(used, mask_ops.union(left, mask)) for mask, (used, _, _) in zip(subject_masks, blends, strict=True)
    )
    assert edit.source_mask.tobytes() == half_mask().tobytes()


def test_the_masks_grow_by_the_dilation(model: BaseModel) -> None:
    (exact,), (grown,) = (
        nima_single_pass.edit(model, request(), NimaSinglePassConfig(steps=2, dilation=dilation))
        for dilation in (0.0, 0.1)
    )
    assert (np.asarray(grown.source_mask) >= np.asarray(exact.source_mask)).all()
    assert np.asarray(grown.source_mask).mean() > np.asarray(exact.source_mask).mean()
