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
from lipe_core.training.config import PriorConfig
from lipe_core.training.dataset import EncodedSet
from lipe_core.training.train import learn_prior, validation_loss

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


WORD = replace(CONFIG, token_learning_rate=1e-2)
NAMES = ("lora_token.clip_l", "lora_token.clip_g")


def test_what_the_token_means_is_learnt_and_the_training_resumes_bit_for_bit(
    model: BaseModel, identity: tuple[EncodedSet, ...], regularization: EncodedSet, tmp_path: Path
) -> None:
    def stop(step: int, steps: int, loss: float) -> None:
        if step == 2:
            raise Stopped

    before = token_vectors(model, "sks")
    config = replace(WORD, ema=0.5, validate_every=2)
    whole = learn_prior(model, identity, regularization, config, token="sks")
    checkpoint = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Stopped):
        learn_prior(model, identity, regularization, config, token="sks", checkpoint=checkpoint, on_step=stop)
    resumed = learn_prior(model, identity, regularization, config, token="sks", checkpoint=checkpoint)
    assert resumed.losses == whole.losses
    assert resumed.validations == whole.validations
    for name in NAMES:
        assert torch.equal(resumed.adapter[name], whole.adapter[name])
        assert 1e-3 < (whole.adapter[name] - before[name]).abs().max() < 0.1
        assert not whole.adapter[name].requires_grad
    assert set(learn_prior(model, identity, None, replace(CONFIG, steps=1), token="sks").adapter).isdisjoint(NAMES)


def test_rows_one_at_a_time_teach_the_token_the_same(
    model: BaseModel, identity: tuple[EncodedSet, ...], regularization: EncodedSet
) -> None:
    config = replace(WORD, steps=1, compute_dtype="float32")
    together = learn_prior(model, identity, regularization, config, token="sks")
    apart = learn_prior(model, identity, regularization, config, token="sks", rows_at_once=1)
    for name in NAMES:
        torch.testing.assert_close(apart.adapter[name], together.adapter[name], rtol=1e-3, atol=1e-5)


def test_a_token_that_is_to_be_learnt_must_be_named(model: BaseModel, identity: tuple[EncodedSet, ...]) -> None:
    with pytest.raises(ValueError, match="name the token"):
        learn_prior(model, identity, None, WORD)


@pytest.fixture(scope="module")
def unbroken(model: BaseModel, identity: tuple[EncodedSet, ...], regularization: EncodedSet) -> train.TrainingResult:
    return learn_prior(model, identity, regularization, CONFIG)


@pytest.mark.parametrize("stop", [1, 4])
def test_a_stopped_and_resumed_training_equals_an_unbroken_one_bit_for_bit(
    model: BaseModel,
    identity: tuple[EncodedSet, ...],
    regularization: EncodedSet,
    unbroken: train.TrainingResult,
    tmp_path: Path,
    stop: int,
) -> None:
    def stop_there(step: int, steps: int, loss: float) -> None:
        if step == stop:
            raise Stopped

    checkpoint = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Stopped):
        learn_prior(model, identity, regularization, CONFIG, checkpoint=checkpoint, on_step=stop_there)
    steps: list[int] = []
    resumed = learn_prior(
        model, identity, regularization, CONFIG, checkpoint=checkpoint, on_step=lambda step, *_: steps.append(step)
    )
    assert steps == list(range(stop + 1, CONFIG.steps + 1))
    assert resumed.losses == unbroken.losses
    assert all(torch.equal(resumed.adapter[name], tensor) for name, tensor in unbroken.adapter.items())


def test_a_training_that_was_stopped_at_a_preview_goes_on_behind_it(
    model: BaseModel, identity: tuple[EncodedSet, ...], regularization: EncodedSet, unbroken: train.TrainingResult,
    tmp_path: Path,
) -> None:  # fmt: skip
    def stop(step: int) -> None:
        raise Stopped(step)

    sets = (identity, regularization, CONFIG)
    checkpoint = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Stopped, match="3"):
        learn_prior(model, *sets, checkpoint=checkpoint, on_preview=stop, preview_every=3)
    steps: list[int] = []
    resumed = learn_prior(model, *sets, checkpoint=checkpoint, on_step=lambda step, *_: steps.append(step))
    assert steps == [4, 5]
    assert all(torch.equal(resumed.adapter[name], tensor) for name, tensor in unbroken.adapter.items())


def test_whatever_happens_the_model_is_the_base_model_again(model: BaseModel, identity: tuple[EncodedSet, ...]) -> None:
    before = {name: tensor.clone() for name, tensor in model.unet.state_dict().items()}

    def refuse(step: int, steps: int, loss: float) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        learn_prior(model, identity, None, CONFIG, on_step=refuse)
    after = model.unet.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert not any(weight.requires_grad for weight in model.unet.parameters())
    assert not model.unet.training


@pytest.mark.parametrize("tuning", ["lora", "full_attention"])
def test_training_lowers_the_loss_on_the_subject(
    model: BaseModel, identity: tuple[EncodedSet, ...], tuning: str
) -> None:
    rate = {"lora": 5e-3, "full_attention": 1e-3}[tuning]
    config = PriorConfig(
        steps=30, batch_size=3, rank=8, learning_rate=rate, warmup=2, caption_dropout=0.0, tuning=tuning
    )
    base = {name: tensor.clone() for name, tensor in model.unet.state_dict().items()}
    before = fixed_loss(model, identity, config)
    learned = learn_prior(model, identity, None, config)
    assert fixed_loss(model, identity, config) == before
    with lora.use_adapter(model, prior_of(model, learned)):
        assert fixed_loss(model, identity, config) < 0.95 * before
    assert all(torch.equal(tensor, base[name]) for name, tensor in model.unet.state_dict().items())


def prior_of(model: BaseModel, learned: train.TrainingResult) -> Prior:
    manifest = Manifest("sks", "dog", model.checkpoint, None, model.fingerprint, (), (), {}, learned.losses)
    return Prior(learned.adapter, manifest)


def fixed_loss(model: BaseModel, identity: tuple[EncodedSet, ...], config: PriorConfig) -> float:
    return validation_loss(model, identity, sdxl.encode_prompt(model, [""], size=(64, 64)), config)


def test_rows_one_at_a_time_make_the_same_step(
    model: BaseModel, identity: tuple[EncodedSet, ...], regularization: EncodedSet
) -> None:
    config = replace(CONFIG, steps=1, compute_dtype="float32")
    together = learn_prior(model, identity, regularization, config)
    apart = learn_prior(model, identity, regularization, config, rows_at_once=1)
    assert apart.losses == pytest.approx(together.losses, rel=1e-5)
    for name, tensor in together.adapter.items():
        torch.testing.assert_close(apart.adapter[name], tensor, rtol=1e-3, atol=1e-5)


def test_references_of_two_shapes_are_learnt_beside_square_pictures_of_the_class(
    model: BaseModel, regularization: EncodedSet
) -> None:
    identity = encoded(model, "sks dog", (64, 64), (128, 64), (64, 128))
    sizes: set[tuple[int, ...]] = set()
    for step in range(3):
        empty = sdxl.encode_prompt(model, [""], size=(64, 64))
        for rows in train.step_rows(model, identity, regularization, empty, CONFIG, step):
            sizes.add(tuple(rows.x_0.shape[2:]))
    assert len(sizes) == 3
    learned = learn_prior(model, identity, regularization, replace(CONFIG, steps=3))
    assert len(learned.losses) == 3


def test_the_running_mean_is_the_result_and_survives_a_stop(
    model: BaseModel, identity: tuple[EncodedSet, ...], unbroken: train.TrainingResult, tmp_path: Path
) -> None:
    config, checkpoint = replace(CONFIG, ema=0.5, preservation_batch_size=0), tmp_path / "checkpoint.safetensors"

    def stop_there(step: int, steps: int, loss: float) -> None:
        if step == 3:
            raise Stopped

    whole = learn_prior(model, identity, None, config)
    with pytest.raises(Stopped):
        learn_prior(model, identity, None, config, checkpoint=checkpoint, on_step=stop_there)
    resumed = learn_prior(model, identity, None, config, checkpoint=checkpoint)
    last = learn_prior(model, identity, None, replace(config, ema=0.0))
    assert last.losses == whole.losses == resumed.losses
    assert all(torch.equal(resumed.adapter[name], tensor) for name, tensor in whole.adapter.items())
    norm = sum(tensor.square().sum().item() for name, tensor in whole.adapter.items() if "lora_B" in name)
    assert norm < sum(tensor.square().sum().item() for name, tensor in last.adapter.items() if "lora_B" in name)


def test_training_stops_when_validation_does_not_get_better(model: BaseModel, identity: tuple[EncodedSet, ...]) -> None:
    config = PriorConfig(steps=40, rank=2, learning_rate=1e-12, validate_every=2, patience=2)
    learned = learn_prior(model, identity, None, config)
    assert len(learned.losses) < 40
    assert [step for step, _ in learned.validations] == list(range(2, len(learned.losses) + 1, 2))
    losses = [loss for _, loss in learned.validations]
    assert min(losses[-2:]) >= min(losses[:-2])


def test_the_first_weights_are_the_seeds_alone(
    model: BaseModel, identity: tuple[EncodedSet, ...], regularization: EncodedSet
) -> None:
    torch.manual_seed(1234)
    again = learn_prior(model, identity, regularization, CONFIG)
    torch.manual_seed(4321)
    other = learn_prior(model, identity, regularization, CONFIG)
    assert again.losses == other.losses


def test_a_checkpoint_of_other_settings_is_refused(
    model: BaseModel, identity: tuple[EncodedSet, ...], tmp_path: Path
) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    learn_prior(model, identity, None, PriorConfig(steps=2, rank=2), checkpoint=checkpoint, checkpoint_every=1)
    with pytest.raises(InvalidCheckpoint, match="other settings"):
        learn_prior(model, identity, None, PriorConfig(steps=3, rank=2), checkpoint=checkpoint)


def test_a_loss_that_is_no_number_is_named(model: BaseModel, identity: tuple[EncodedSet, ...]) -> None:
    broken = (replace(identity[0], latents=identity[0].latents * float("nan")),)
    with pytest.raises(TrainingDiverged, match="learning_rate"):
        learn_prior(model, broken, None, CONFIG)


def test_previews_come_at_their_steps_with_the_adapter_on_and_dropout_off(
    model: BaseModel, identity: tuple[EncodedSet, ...]
) -> None:
    seen: list[tuple[int, bool, bool]] = []
    steps: list[bool] = []

    def look(step: int) -> None:
        adapter_is_on = any("lora_" in name for name, _ in model.unet.named_parameters())
        seen.append((step, adapter_is_on, any(module.training for module in model.unet.modules())))

    learn_prior(
        model,
        identity,
        None,
        CONFIG,
        on_preview=look,
        preview_every=2,
        on_step=lambda *_: steps.append(model.unet.training),
    )
    assert seen == [(2, True, False), (4, True, False)]
    assert steps == [True] * CONFIG.steps


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"rank": 0},
        {"learning_rate": 0.0},
        {"caption_dropout": 1.0},
        {"compute_dtype": "float16"},
        {"token_learning_rate": -1e-4},
        {"patience": 2},
        {"ema": 1.0},
        {"preservation_batch_size": -1},
        {"targets": ()},
        {"subject_emphasis": 0.0},
    ],
)
def test_settings_that_contradict_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        PriorConfig(**wrong)  # type: ignore[arg-type]


def test_the_learning_rate_warms_up_and_falls() -> None:
    config = PriorConfig(steps=100, warmup=10)
    rates = [train.annealing(step, config) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] > 0.97
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] == pytest.approx(0.1, abs=0.01)
