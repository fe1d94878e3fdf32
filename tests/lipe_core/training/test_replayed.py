"""Training steps that are recorded and replayed have the losses and weights of others, to the byte."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
import torch
from PIL import Image
from torch import Tensor

from lipe_core.adapters.flat import FlatWeights
from lipe_core.graphs import Graphs, Tensors
from lipe_core.sdxl import BaseModel
from lipe_core.subject import Sample
from lipe_core.training import dataset
from lipe_core.training.config import PriorConfig
from lipe_core.training.dataset import EncodedSet
from lipe_core.training.train import TrainingResult, TrainingRun, train_adapter
from tests.support.tape import tape

CONFIG = PriorConfig(steps=3, batch_size=2, preservation_batch_size=1, rank=4, learning_rate=1e-3)


@pytest.fixture(scope="module")
def sets(model: BaseModel) -> tuple[tuple[EncodedSet, ...], EncodedSet]:
    def encoded(noun: str, *sizes: tuple[int, int]) -> tuple[EncodedSet, ...]:
        images = [Image.new("RGB", size, (60 * k, 90, 0)) for k, size in enumerate(sizes)]
        return dataset.encode(model, [Sample(image, f"a {noun}") for image in images])

    return encoded("sks dog", (64, 64), (64, 64), (64, 96)), encoded("dog", (64, 64), (64, 64))[0]


def replaying(model: BaseModel, monkeypatch: pytest.MonkeyPatch) -> tuple[BaseModel, Graphs]:
    """The model with graphs that may read its weights and those of the adapter."""
    fixed: list[Tensor] = [*model.unet.parameters(), *model.unet.buffers()]
    make = FlatWeights.of

    def noted(matrices: Mapping[str, Tensor], dtype: torch.dtype, scale: float) -> FlatWeights:
        made = make(matrices, dtype, scale)
        fixed.extend([made.master.data, made.shadow, made.gradient])
        return made

    monkeypatch.setattr(FlatWeights, "of", noted)

    def record(work: Callable[[], Tensors]) -> tuple[Callable[[], None], Tensors]:
        return tape(*fixed)(work)

    graphs = Graphs([*model.unet.parameters()], record)
    return replace(model, graphs=graphs), graphs


@pytest.mark.parametrize(
    ("config", "run", "replays"),
    [
        (CONFIG, TrainingRun(), True),
        (replace(CONFIG, compute_dtype="float32"), TrainingRun(rows_at_once=1), True),
        (replace(CONFIG, tuning="full_attention", steps=1), TrainingRun(), False),
    ],
)
def test_a_replayed_training_equals_others(
    model: BaseModel,
    sets: tuple[tuple[EncodedSet, ...], EncodedSet],
    config: PriorConfig,
    run: TrainingRun,
    replays: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted: TrainingResult = train_adapter(model, *sets, config, run=run)
    with_graphs, graphs = replaying(model, monkeypatch)
    kept: list[int] = []

    def note(step: int, steps: int, loss: float) -> None:
        kept.append(len(graphs._recordings))

    made = train_adapter(with_graphs, *sets, config, run=replace(run, on_step=note))
    assert graphs.eager_because == ""
    assert made.losses == wanted.losses
    assert made.adapter.keys() == wanted.adapter.keys()
    assert all(torch.equal(made.adapter[name], wanted.adapter[name]) for name in wanted.adapter)
    assert any(kept) == replays
    assert not graphs._recordings  # the places of the adapter are free again
