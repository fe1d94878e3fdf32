"""Edits whose loops are recorded and replayed have the same bytes as others, also after another prior."""

from dataclasses import replace

import pytest
import torch

from lipe_core.adapters.prior import Prior
from lipe_core.graphs import Captured, Graphs, Tensors
from lipe_core.methods.nima import edit as nima
from lipe_core.methods.nima.config import NimaConfig
from lipe_core.methods.request import Edit
from lipe_core.sdxl import BaseModel
from tests.support.editing import make_prior
from tests.support.nima_requests import request
from tests.support.tape import tape

CONFIG = NimaConfig(steps=4)


@pytest.fixture
def replaying(model: BaseModel) -> BaseModel:
    weights = [*model.unet.parameters()]
    return replace(model, graphs=Graphs(weights, tape(*weights, *model.unet.buffers())))


def contents(edits: list[Edit]) -> list[bytes]:
    return [image.tobytes() for edit in edits for image in edit.images()]


def other(prior: Prior) -> Prior:
    return replace(prior, adapter={name: -2 * tensor for name, tensor in prior.adapter.items()})


def test_replayed_edits_have_the_same_bytes_also_with_another_prior(
    model: BaseModel, replaying: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    replays: list[int] = []
    replay = Captured.__call__

    def counted(captured: Captured, inputs: Tensors) -> Tensors:
        replays.append(1)
        return replay(captured, inputs)

    monkeypatch.setattr(Captured, "__call__", counted)
    before = {name: weight.clone() for name, weight in model.unet.named_parameters()}
    graphs = replaying.graphs
    assert graphs is not None
    first = make_prior(model)
    edits = []
    for prior in (first, other(first)):
        wanted = contents(nima.edit(model, request(), CONFIG, prior=prior))
        made = contents(nima.edit(replaying, request(), CONFIG, prior=prior))
        assert graphs.eager_because == ""
        assert made == wanted
        edits.append(made)
    assert edits[0] != edits[1]
    assert len(graphs._recordings) == 3  # features are recorded, read, or neither
    assert len(replays) == 2 * nima.step_count(CONFIG)  # every call of the loops
    assert all(torch.equal(weight, before[name]) for name, weight in model.unet.named_parameters())
