from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from lipe_core.sdxl import BaseModel
from lipe_core.subject import Sample
from lipe_core.training import dataset
from lipe_core.training.config import PriorConfig
from lipe_core.training.dataset import EncodedSet
from lipe_core.training.snapshots import Scores, Snapshot, recommended, snapshot_steps
from lipe_core.training.train import TrainingRun, train_adapter

CONFIG = PriorConfig(
    steps=4,
    batch_size=4,
    preservation_batch_size=4,
    rank=4,
    learning_rate=1e-2,
    token_learning_rate=1e-2,
    warmup=0,
    compute_dtype="float32",
)


class Stopped(Exception):
    pass


@pytest.fixture(scope="module")
def sets(model: BaseModel) -> tuple[tuple[EncodedSet, ...], EncodedSet]:
    def encoded(caption: str, *sizes: tuple[int, int]) -> tuple[EncodedSet, ...]:
        images = [Image.new("RGB", size, (60 * k, 90, 0)) for k, size in enumerate(sizes)]
        return dataset.encode(model, [Sample(image, caption) for image in images])

    return encoded("a sks dog", (64, 64), (64, 64), (64, 96)), encoded("a dog", (64, 64), (64, 64))[0]


Sets = tuple[tuple[EncodedSet, ...], EncodedSet]


def snapshots_of(model: BaseModel, sets: Sets, config: PriorConfig = CONFIG, **run: object) -> list[Snapshot]:
    taken: list[Snapshot] = []
    options = TrainingRun(on_snapshot=taken.append, snapshots=3)
    train_adapter(model, *sets, config, token="sks", run=replace(options, **run))  # type: ignore[arg-type]
    return taken


@pytest.fixture(scope="module")
def taken(model: BaseModel, sets: Sets) -> list[Snapshot]:
    return snapshots_of(model, sets)


def test_snapshots_are_those_of_the_steps_and_change_no_weight(
    model: BaseModel, sets: Sets, taken: list[Snapshot]
) -> None:
    without = train_adapter(model, *sets, CONFIG, token="sks")
    assert [snapshot.step for snapshot in taken] == [1, 2, 3, 4]
    assert all(torch.equal(taken[-1].adapter[name], tensor) for name, tensor in without.adapter.items())
    early, late = (taken[k].adapter for k in (0, 3))
    assert all(not torch.equal(early[name], late[name]) for name in early)


def test_the_base_model_has_no_identity_and_full_flexibility(
    model: BaseModel, sets: Sets, taken: list[Snapshot]
) -> None:
    barely_trained = replace(CONFIG, steps=1, learning_rate=1e-12, token_learning_rate=1e-12)
    scores = snapshots_of(model, sets, barely_trained, snapshots=0)[-1].scores
    assert scores.flexibility is not None
    assert abs(scores.identity) < 1e-5
    assert abs(scores.flexibility - 1.0) < 1e-5
    identities = [snapshot.scores.identity for snapshot in taken]
    flexibilities = [snapshot.scores.flexibility or 0.0 for snapshot in taken]
    assert identities[-1] > identities[0] > 1e-3
    assert max(flexibilities) < 1.0 - 1e-3


def test_scores_are_the_same_in_a_resumed_training(
    model: BaseModel, sets: Sets, taken: list[Snapshot], tmp_path: Path
) -> None:
    def stop(step: int, steps: int, loss: float) -> None:
        if step == 2:
            raise Stopped

    file = tmp_path / "checkpoint.safetensors"
    first: list[Snapshot] = []
    with pytest.raises(Stopped):
        train_adapter(
            model,
            *sets,
            CONFIG,
            token="sks",
            run=TrainingRun(on_snapshot=first.append, checkpoint=file, on_step=stop),
        )
    resumed = [*first, *snapshots_of(model, sets, checkpoint=file)]
    assert [snapshot.step for snapshot in resumed] == [1, 2, 3, 4]
    assert [snapshot.scores for snapshot in resumed] == [snapshot.scores for snapshot in taken]
    for one, other in zip(resumed, taken, strict=True):
        assert all(torch.equal(one.adapter[name], tensor) for name, tensor in other.adapter.items())


def test_an_ended_training_that_is_resumed_still_scores_its_result(
    model: BaseModel, sets: Sets, taken: list[Snapshot], tmp_path: Path
) -> None:
    file = tmp_path / "checkpoint.safetensors"
    train_adapter(model, *sets, CONFIG, token="sks", run=TrainingRun(checkpoint=file, checkpoint_every=4))
    (last,) = snapshots_of(model, sets, checkpoint=file)
    assert (last.step, last.scores) == (4, taken[-1].scores)


def test_without_class_images_there_is_no_flexibility(model: BaseModel, sets: Sets) -> None:
    config = replace(CONFIG, steps=1, preservation_batch_size=0)
    assert snapshots_of(model, (sets[0], None), config)[-1].scores.flexibility is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("steps", "count", "expected"),
    [(500, 3, [125, 250, 375]), (60, 3, [15, 30, 45]), (10, 0, []), (2, 20, [1]), (1, 3, [])],
)
def test_snapshots_have_even_distances(steps: int, count: int, expected: list[int]) -> None:
    assert list(snapshot_steps(steps, count)) == expected


@pytest.mark.parametrize(
    ("identities", "expected"),
    [([0.2, 0.4, 0.5, 0.51], 2), ([0.2, 0.3, 0.4, 0.5], 3), ([0.5, 0.4], 0), ([-0.3, -0.1], 1)],
)
def test_the_earliest_of_the_best_is_recommended(identities: list[float], expected: int) -> None:
    assert recommended([Scores(identity, None) for identity in identities]) == expected
