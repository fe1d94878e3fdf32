"""The edit mask: when it is made, and from what."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lipe_core import sdxl
from lipe_core.masks.mask_ops import blend
from lipe_core.methods.nima import edit as nima
from lipe_core.sdxl import AttentionStore, BaseModel
from tests.support.nima_requests import CONFIG, half_mask, request


def test_until_the_blend_starts_the_subject_is_free(model: BaseModel) -> None:
    masks: list[torch.Tensor] = []

    def observed(edit: Any, source: Any, mask: torch.Tensor) -> torch.Tensor:
        masks.append(mask)
        return blend(edit, source, mask)

    config = replace(CONFIG, looks=(0.5,), blend_start=0.5, threshold=0.9, dilation=0.0, coverage=0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nima, "blend", observed)
        nima.edit(model, request(), config)
    assert len(masks) == 3
    assert 0 < masks[0].mean() < 1
    assert torch.equal(masks[0], masks[2])


def test_the_target_mask_is_found_in_the_edit_so_far(model: BaseModel) -> None:
    decoded: list[torch.Tensor] = []
    previews: list[list[Image.Image]] = []

    def decode(model: BaseModel, latents: torch.Tensor) -> torch.Tensor:
        decoded.append(latents)
        return plain(model, latents)

    plain = sdxl.decode_pixels
    config = replace(CONFIG, looks=(0.5, 1.0), snap=0.1, dilation=0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sdxl, "decode_pixels", decode)
        patch.setattr("lipe_core.sdxl.images.decode_pixels", decode)
        (edit,) = nima.edit(model, request(), config, on_preview=previews.append)
    assert len(decoded) == 3
    assert [len(images) for images in previews] == [1, 1]
    assert np.array_equal(np.asarray(previews[1][0]), np.asarray(sdxl.decode(model, decoded[1])[0]))
    assert torch.equal(decoded[1], decoded[2]) == (np.asarray(edit.edit_mask).min() == 255)
    assert set(np.unique(np.asarray(edit.source_mask))) <= {0, 255}


@pytest.mark.parametrize(
    ("maps", "settings"),
    [
        (4 + 4, {}),
        (3 + 4, {"map_window": (0.0, 0.4)}),
        (4 + 4, {"map_window": (0.1, 0.2)}),  # no step lies in the window, so all are used
        (4, {"mask_mode": "source"}),
        (4 + 2, {"looks": (0.25, 0.5)}),
        (
            10,
            {"subject_map": "class", "looks": (0.5,), "blend_start": 0.5},
        ),  # five for the source, five for the edit
        (10 + 1, {"subject_map": "class", "looks": (0.5,), "blend_start": 0.25}),
    ],
)
def test_attention_is_recorded_only_where_it_is_used(
    model: BaseModel, maps: int, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[AttentionStore] = []

    def pop(store: AttentionStore) -> torch.Tensor:
        recorded.append(store)
        return popped(store)

    popped = AttentionStore.pop
    monkeypatch.setattr(AttentionStore, "pop", pop)
    nima.edit(model, request(), replace(CONFIG, **settings))
    assert len(recorded) == maps
    recorded.clear()
    nima.edit(model, request(mask=half_mask()), CONFIG)
    assert len(recorded) == 4
