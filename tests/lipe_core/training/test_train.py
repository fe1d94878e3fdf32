from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from lipe_core import sdxl
from lipe_core.adapters import lora
from lipe_core.adapters.prior import Manifest, Prior
from lipe_core.adapters.textual_inversion import token_vectors
from lipe_core.errors import InvalidCheckpoint, TrainingDiverged
from lipe_core.sdxl import BaseModel
from lipe_core.subject import Sample
from lipe_core.training import dataset, train
from lipe_core.training.batches import TrainingData, sample_training_batch, sample_training_step
from lipe_core.training.config import PriorConfig
from lipe_core.training.dataset import EncodedSet
from lipe_core.training.train import TrainingResult, TrainingRun, train_adapter

CONFIG = PriorConfig(steps=5, batch_size=2, preservation_batch_size=1, rank=4, learning_rate=1e-3)


class Stopped(Exception):
    pass


def encoded(model: BaseModel, noun: str, *sizes: tuple[int, int]) -> tuple[EncodedSet, ...]:
    return dataset.encode(
        model, [Sample(Image.new("RGB", size, (60 * k, 90, 0)), f"a {noun}") for k, size in enumerate(sizes)]
    )


@pytest.fixture(scope="module")
def identity(model: BaseModel) -> tuple[EncodedSet, ...]:
    return encoded(model, "sks dog", *[(64, 64)] * 3)


@pytest.fixture(scope="module")
def regularization(model: BaseModel) -> EncodedSet:
    return encoded(model, "dog", (64, 64), (64, 64))[0]


WITH_TOKEN = replace(CONFIG, token_learning_rate=1e-2)
NAMES = ("lora_token.clip_l", "lora_token.clip_g")


def test_the_token_is_learned_and_the_training_resumes_bit_for_bit(
    model: BaseModel, identity: tuple[EncodedSet, ...], regularization: EncodedSet, tmp_path: Path
) -> None:
    def stop(step: int, steps: int, loss: float) -> None:
        if step == 2:
            raise Stopped

    before = token_vectors(model, "sks")
    whole = train_adapter(model, identity, regularization, WITH_TOKEN, token="sks")
    run = TrainingRun(checkpoint=tmp_path / "checkpoint.safetensors")
    with pytest.raises(Stopped):
        train_adapter(model, identity, regularization, WITH_TOKEN, token="sks", run=replace(run, on_step=stop))
    resumed = train_adapter(model, identity, regularization, WITH_TOKEN, token="sks", run=run)
    assert resumed.losses == whole.losses
    for name in NAMES:
        assert torch.equal(resumed.adapter[name], whole.adapter[name])
        assert 1e-3 < (whole.adapter[name] - before[name]).abs().max() < 0.1
        assert not whole.adapter[name].requires_grad
    assert set(train_adapter(model, identity, None, replace(CONFIG, steps=1), token="sks").adapter).isdisjoint(NAMES)


def test_rows_one_at_a_time_train_the_token_the_same(
    model: BaseModel, identity: tuple[EncodedSet, ...], regularization: EncodedSet
) -> None:
    config = replace(WITH_TOKEN, steps=1, compute_dtype="float32")
    together = train_adapter(model, identity, regularization, config, token="sks")
    apart = train_adapter(model, identity, regularization, config, token="sks", run=TrainingRun(rows_at_once=1))
    for name in NAMES:
        torch.testing.assert_close(apart.adapter[name], together.adapter[name], rtol=1e-3, atol=1e-5)


def test_a_token_to_learn_must_be_named(model: BaseModel, identity: tuple[EncodedSet, ...]) -> None:
    with pytest.raises(ValueError, match="name the token to learn"):
        train_adapter(model, identity, None, WITH_TOKEN)


@pytest.fixture(scope="module")
def unbroken(model: BaseModel, identity: tuple[EncodedSet, ...], regularization: EncodedSet) -> TrainingResult:
    return train_adapter(model, identity, regularization, CONFIG)


@pytest.mark.parametrize("stop", [1, 4])
def test_a_stopped_and_resumed_training_equals_an_unbroken_one_bit_for_bit(
    model: BaseModel,
    identity: tuple[EncodedSet, ...],
    regularization: EncodedSet,
    unbroken: TrainingResult,
    tmp_path: Path,
    stop: int,
) -> None:
    def stop_there(step: int, steps: int, loss: float) -> None:
        if step == stop:
            raise Stopped

    run = TrainingRun(checkpoint=tmp_path / "checkpoint.safetensors")
    with pytest.raises(Stopped):
        train_adapter(model, identity, regularization, CONFIG, run=replace(run, on_step=stop_there))
    steps: list[int] = []
    watched = replace(run, on_step=lambda step, *_: steps.append(step))
    resumed = train_adapter(model, identity, regularization, CONFIG, run=watched)
    assert steps == list(range(stop + 1, CONFIG.steps + 1))
    assert resumed.losses == unbroken.losses
    assert all(torch.equal(resumed.adapter[name], tensor) for name, tensor in unbroken.adapter.items())


def test_a_training_stopped_at_a_preview_resumes_after_it(
    model: BaseModel, identity: tuple[EncodedSet, ...], regularization: EncodedSet, unbroken: TrainingResult,
    tmp_path: Path,
) -> None:  # fmt: skip
    def stop(step: int) -> None:
        raise Stopped(step)

    sets = (identity, regularization, CONFIG)
    run = TrainingRun(checkpoint=tmp_path / "checkpoint.safetensors")
    with pytest.raises(Stopped, match="3"):
        train_adapter(model, *sets, run=replace(run, on_preview=stop, preview_every=3))
    steps: list[int] = []
    resumed = train_adapter(model, *sets, run=replace(run, on_step=lambda step, *_: steps.append(step)))
    assert steps == [4, 5]
    assert all(torch.equal(resumed.adapter[name], tensor) for name, tensor in unbroken.adapter.items())


def test_after_an_exception_the_model_is_the_base_model_again(
    model: BaseModel, identity: tuple[EncodedSet, ...]
) -> None:
    before = {name: tensor.clone() for name, tensor in model.unet.state_dict().items()}

    def refuse(step: int, steps: int, loss: float) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        train_adapter(model, identity, None, CONFIG, run=TrainingRun(on_step=refuse))
    after = model.unet.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert not any(weight.requires_grad for weight in model.unet.parameters())
    assert not model.unet.training


@pytest.mark.parametrize("tuning", ["lora", "full_attention"])
def test_training_lowers_the_loss_on_the_subject(
    model: BaseModel, identity: tuple[EncodedSet, ...], tuning: lora.Tuning
) -> None:
    rate = {"lora": 5e-3, "full_attention": 1e-3}[tuning]
    config = PriorConfig(
        steps=30, batch_size=3, rank=8, learning_rate=rate, warmup=2, caption_dropout=0.0, tuning=tuning
    )
    base = {name: tensor.clone() for name, tensor in model.unet.state_dict().items()}
    before = fixed_loss(model, identity, config)
    result = train_adapter(model, identity, None, config)
    assert fixed_loss(model, identity, config) == before
    with lora.use_adapter(model, prior_of(model, result)):
        assert fixed_loss(model, identity, config) < 0.95 * before
    assert all(torch.equal(tensor, base[name]) for name, tensor in model.unet.state_dict().items())


def prior_of(model: BaseModel, result: TrainingResult) -> Prior:
    manifest = Manifest("sks", "dog", model.checkpoint, None, model.fingerprint, (), (), {}, result.losses)
    return Prior(result.adapter, manifest)


def fixed_loss(model: BaseModel, identity: tuple[EncodedSet, ...], config: PriorConfig) -> float:
    """The mean loss on the references over noise that does not depend on the training."""
    empty, draws = sdxl.encode_prompt(model, [""], size=(64, 64)), 4
    count = sum(len(encoded) for encoded in identity)
    losses = []
    with torch.no_grad():
        for k, one in enumerate(identity):
            for draw in range(draws):
                weight = torch.ones(len(one)) / count
                rows = sample_training_batch(one, weight, empty, 0.0, model.schedule.levels, ("fixed", k, draw))
                losses.append(train.training_loss(model, rows, config).item())
    return sum(losses) / draws


def test_rows_one_at_a_time_make_the_same_step(
    model: BaseModel, identity: tuple[EncodedSet, ...], regularization: EncodedSet
) -> None:
    config = replace(CONFIG, steps=1, compute_dtype="float32")
    together = train_adapter(model, identity, regularization, config)
    apart = train_adapter(model, identity, regularization, config, run=TrainingRun(rows_at_once=1))
    assert apart.losses == pytest.approx(together.losses, rel=1e-5)
    for name, tensor in together.adapter.items():
        torch.testing.assert_close(apart.adapter[name], tensor, rtol=1e-3, atol=1e-5)


def test_references_of_several_shapes_are_trained_with_square_images_of_the_class(
    model: BaseModel, regularization: EncodedSet
) -> None:
    identity = encoded(model, "sks dog", (64, 64), (128, 64), (64, 128))
    sizes: set[tuple[int, ...]] = set()
    for step in range(3):
        data = TrainingData(identity, regularization, sdxl.encode_prompt(model, [""], size=(64, 64)))
        for rows in sample_training_step(model, data, CONFIG, step):
            sizes.add(tuple(rows.x_0.shape[2:]))
    assert len(sizes) == 3
    result = train_adapter(model, identity, regularization, replace(CONFIG, steps=3))
    assert len(result.losses) == 3


def test_the_initial_weights_depend_on_the_seed_only(
    model: BaseModel, identity: tuple[EncodedSet, ...], regularization: EncodedSet
) -> None:
    torch.manual_seed(1234)
    again = train_adapter(model, identity, regularization, CONFIG)
    torch.manual_seed(4321)
    other = train_adapter(model, identity, regularization, CONFIG)
    assert again.losses == other.losses


def test_a_checkpoint_of_other_settings_is_refused(
    model: BaseModel, identity: tuple[EncodedSet, ...], tmp_path: Path
) -> None:
    run = TrainingRun(checkpoint=tmp_path / "checkpoint.safetensors", checkpoint_every=1)
    train_adapter(model, identity, None, PriorConfig(steps=2, rank=2), run=run)
    with pytest.raises(InvalidCheckpoint, match="other settings"):
        train_adapter(model, identity, None, PriorConfig(steps=3, rank=2), run=run)


def test_a_loss_that_is_not_a_number_is_refused(model: BaseModel, identity: tuple[EncodedSet, ...]) -> None:
    broken = (replace(identity[0], latents=identity[0].latents * float("nan")),)
    with pytest.raises(TrainingDiverged, match="learning_rate"):
        train_adapter(model, broken, None, CONFIG)


def test_previews_come_at_their_steps_with_the_adapter_applied(
    model: BaseModel, identity: tuple[EncodedSet, ...]
) -> None:
    seen: list[tuple[int, bool, bool]] = []

    def preview(step: int) -> None:
        has_adapter = any("lora_" in name for name, _ in model.unet.named_parameters())
        seen.append((step, has_adapter, any(module.training for module in model.unet.modules())))

    train_adapter(model, identity, None, CONFIG, run=TrainingRun(on_preview=preview, preview_every=2))
    assert seen == [(2, True, False), (4, True, False)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"rank": 0},
        {"learning_rate": 0.0},
        {"caption_dropout": 1.0},
        {"compute_dtype": "float16"},
        {"token_learning_rate": -1e-4},
        {"preservation_batch_size": -1},
        {"targets": ()},
        {"subject_emphasis": 0.0},
    ],
)
def test_settings_that_contradict_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):  # pytest checks types before the config checks its values
        PriorConfig(**wrong)  # type: ignore[arg-type]


def test_the_learning_rate_warms_up_and_falls() -> None:
    config = PriorConfig(steps=100, warmup=10)
    rates = [train.learning_rate_factor(step, config) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] > 0.97
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] == pytest.approx(0.1, abs=0.01)
