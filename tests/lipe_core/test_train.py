from pathlib import Path

import pytest
import torch
from PIL import Image

from lipe_core import adapter, dataset, sdxl, train
from lipe_core.dataset import EncodedSet
from lipe_core.prior import Manifest, Prior
from lipe_core.sdxl import BaseModel
from lipe_core.subject import Sample
from lipe_core.train import InvalidCheckpoint, PriorConfig, TrainingDiverged, learn_prior, training_loss

CONFIG = PriorConfig(steps=5, batch_size=2, preservation_batch_size=1, rank=4, learning_rate=1e-3)


class Stopped(Exception):
    pass


def encoded(model: BaseModel, noun: str, count: int) -> EncodedSet:
    return dataset.encode(
        model, [Sample(Image.new("RGB", (64, 64), (60 * k, 90, 0)), f"a {noun}") for k in range(count)]
    )


@pytest.fixture(scope="module")
def identity(model: BaseModel) -> EncodedSet:
    return encoded(model, "sks dog", 3)


@pytest.fixture(scope="module")
def regularization(model: BaseModel) -> EncodedSet:
    return encoded(model, "dog", 2)


@pytest.fixture(scope="module")
def unbroken(model: BaseModel, identity: EncodedSet, regularization: EncodedSet) -> train.Learned:
    return learn_prior(model, identity, regularization, CONFIG)


@pytest.mark.parametrize("stop", [1, 4])
def test_a_stopped_and_resumed_training_equals_an_unbroken_one_bit_for_bit(
    model: BaseModel,
    identity: EncodedSet,
    regularization: EncodedSet,
    unbroken: train.Learned,
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


def test_whatever_happens_the_model_is_the_base_model_again(model: BaseModel, identity: EncodedSet) -> None:
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


def test_training_lowers_the_loss_on_the_subject(model: BaseModel, identity: EncodedSet) -> None:
    config = PriorConfig(steps=30, batch_size=3, rank=8, learning_rate=5e-3, warmup=2, caption_dropout=0.0)
    before = fixed_loss(model, identity, config)
    learned = learn_prior(model, identity, None, config)
    manifest = Manifest("sks", "dog", model.checkpoint, None, model.fingerprint, (), (), {}, learned.losses)
    with adapter.use_adapter(model, Prior(learned.adapter, manifest)):
        assert fixed_loss(model, identity, config) < 0.95 * before


def fixed_loss(model: BaseModel, identity: EncodedSet, config: PriorConfig) -> float:
    """The mean loss on ten draws of noise that the training of this config never meets."""
    empty = sdxl.encode_prompt(model, [""], size=(64, 64))
    steps = range(config.steps, config.steps + 10)
    with torch.no_grad():
        return sum(training_loss(model, identity, None, empty, config, step).item() for step in steps) / len(steps)


def test_the_first_weights_are_the_seeds_alone(
    model: BaseModel, identity: EncodedSet, regularization: EncodedSet
) -> None:
    torch.manual_seed(1234)
    again = learn_prior(model, identity, regularization, CONFIG)
    torch.manual_seed(4321)
    other = learn_prior(model, identity, regularization, CONFIG)
    assert again.losses == other.losses


def test_a_checkpoint_of_other_settings_is_refused(model: BaseModel, identity: EncodedSet, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    learn_prior(model, identity, None, PriorConfig(steps=2, rank=2), checkpoint=checkpoint, checkpoint_every=1)
    with pytest.raises(InvalidCheckpoint, match="other settings"):
        learn_prior(model, identity, None, PriorConfig(steps=3, rank=2), checkpoint=checkpoint)


def test_a_loss_that_is_no_number_is_named(model: BaseModel, identity: EncodedSet) -> None:
    broken = EncodedSet(identity.latents * float("nan"), identity.conditioning, identity.captions)
    with pytest.raises(TrainingDiverged, match="learning_rate"):
        learn_prior(model, broken, None, CONFIG)


def test_previews_come_at_their_steps_with_the_adapter_on(model: BaseModel, identity: EncodedSet) -> None:
    seen: list[tuple[int, bool]] = []

    def look(step: int) -> None:
        seen.append((step, any("lora_" in name for name, _ in model.unet.named_parameters())))

    learn_prior(model, identity, None, CONFIG, on_preview=look, preview_every=2)
    assert seen == [(2, True), (4, True)]


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"rank": 0}, {"learning_rate": 0.0}, {"caption_dropout": 1.0}, {"compute_dtype": "float16"}]
)
def test_settings_that_contradict_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        PriorConfig(**wrong)  # type: ignore[arg-type]


def test_the_learning_rate_warms_up_and_falls() -> None:
    config = PriorConfig(steps=100, warmup=10, learning_rate=1.0)
    rates = [train.learning_rate(step, config) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] > 0.97
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] == pytest.approx(0.1, abs=0.01)
