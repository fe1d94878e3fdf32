"""Edits in chunks of rows, because the memory is full: the same images from one inversion."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from lipe_core.masks.localization import SubjectFinder
from lipe_core.methods.nima import edit as nima
from lipe_core.methods.nima.config import NimaConfig
from lipe_core.sdxl import BaseModel
from tests.support.editing import SOURCE, TARGET
from tests.support.nima_requests import SUBJECT, box, find_in_turn, request

CONFIG = NimaConfig(steps=3, renoise=0.3)
OLD, NEW = box(slice(16, 44), slice(6, 26)), box(slice(20, 48), slice(30, 50))
TARGETS = (TARGET, "sks dog in a meadow", SOURCE, "sks dog asleep")


@pytest.fixture
def memory(model: BaseModel) -> Iterator[Any]:
    """`most` rows fit into the memory; `seen` has the rows of each evaluation that fitted."""
    state = type("Memory", (), {"most": 99, "seen": []})()

    def refuse(unet: Any, inputs: Any) -> None:
        if len(inputs[0]) > state.most:
            raise torch.OutOfMemoryError("full")
        state.seen.append(len(inputs[0]))

    hook = model.unet.register_forward_pre_hook(refuse)
    yield state
    hook.remove()


def test_chunks_share_the_inversion_and_give_the_same_edits(
    model: BaseModel, memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The finder is replaced: a random network's maps are so flat that rounding moves the silhouettes.
    find_in_turn(monkeypatch, OLD, NEW, OLD, NEW, NEW)
    whole = nima.edit(model, request(*TARGETS), CONFIG)
    memory.most, memory.seen = 4, []
    steps: list[tuple[int, int]] = []
    previews: list[int] = []
    chunked = nima.edit(
        model, request(*TARGETS), CONFIG, on_step=lambda *step: steps.append(step),
        on_preview=lambda images: previews.append(len(images)),
    )  # fmt: skip
    total, finder = nima.step_count(CONFIG), SubjectFinder(model, SUBJECT).evaluations
    assert memory.seen == [1] * 3 + [4] * 2 * (total - 3)  # guidance doubles the two rows of each chunk
    for one, other in zip(whole, chunked, strict=True):
        assert one.evaluations == other.evaluations == 3 + 2 * (total - 3) + 2 * finder
        assert one.target_prompt == other.target_prompt
        for before, after in zip(one.images(), other.images(), strict=True):
            assert np.quantile(np.abs(np.asarray(before).astype(int) - np.asarray(after)), 0.99) <= 1
    assert previews == [2]
    assert [step for step, _ in steps] == sorted(step for step, _ in steps)
    assert steps[-1] == (total, total)


def test_a_single_row_that_does_not_fit_is_out_of_memory_and_the_network_is_restored(
    model: BaseModel, memory: Any
) -> None:
    memory.most = 1
    processors = dict(model.unet.attn_processors)
    with pytest.raises(torch.OutOfMemoryError):
        nima.edit(model, request(TARGET), CONFIG)
    assert model.unet.attn_processors == processors
