"""All attention weights are trained in float32, whatever the network's precision, and stored as differences."""

from pathlib import Path

import pytest
import torch

from lipe_core import sdxl
from lipe_core.adapters import lora
from lipe_core.adapters.full_attention import attention_weights, difference_name, trainable_attention
from lipe_core.adapters.prior import Prior
from lipe_core.errors import InvalidPrior
from lipe_core.sdxl import BaseModel
from lipe_core.subject import Sample
from lipe_core.training import dataset
from lipe_core.training.config import PriorConfig
from lipe_core.training.train import TrainingRun, train_adapter
from tests.support.editing import make_prior
from tests.support.nima_requests import PHOTO

CONFIG = PriorConfig(steps=4, batch_size=2, learning_rate=1e-5, warmup=1, tuning="full_attention")


@pytest.fixture(scope="module")
def half(tiny_checkpoint: Path) -> BaseModel:
    """The tiny model in bfloat16, as it is on a GPU."""
    return sdxl.load(tiny_checkpoint, dtype=torch.bfloat16)


def test_steps_that_bfloat16_would_round_away_add_up(half: BaseModel) -> None:
    with trainable_attention(half) as training:
        name, weight = next(iter(training.weights.items()))
        before = training.network[name].detach().clone()
        for _ in range(200):
            weight.data.mul_(1.0001)  # a fortieth of bfloat16's spacing
            training.publish()
        moved = training.network[name].detach().float() / before.float() - 1
    assert moved.median().item() == pytest.approx(0.02, abs=0.005)
    assert torch.equal(attention_weights(half)[name], before)


def test_gradients_of_parts_add_up_in_float32(half: BaseModel) -> None:
    with trainable_attention(half) as training:
        name, network = next(iter(training.network.items()))
        for scale in (1.0, 2.0**-10):  # their sum does not fit into bfloat16
            (network.float().sum() * scale).backward()
        gradient = training.weights[name].grad
        assert network.grad is None
    assert gradient is not None
    assert gradient.dtype == torch.float32
    assert gradient.unique().tolist() == [1.0 + 2.0**-10]


def test_a_bfloat16_network_is_trained_and_restored(half: BaseModel, tmp_path: Path) -> None:
    before = {name: weight.clone() for name, weight in half.unet.named_parameters()}
    (rows,) = dataset.encode(half, [Sample(PHOTO, "a photo of sks dog")] * 2)
    whole = train_adapter(half, (rows,), None, CONFIG)
    assert all(torch.equal(weight, before[name]) for name, weight in half.unet.named_parameters())
    assert {tensor.dtype for tensor in whole.adapter.values()} == {torch.bfloat16}
    assert any(tensor.abs().max() > 0 for tensor in whole.adapter.values())

    def stop(step: int, steps: int, loss: float) -> None:
        if step == 2:
            raise KeyboardInterrupt

    file = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train_adapter(half, (rows,), None, CONFIG, run=TrainingRun(on_step=stop, checkpoint=file))
    resumed = train_adapter(half, (rows,), None, CONFIG, run=TrainingRun(checkpoint=file))
    assert all(torch.equal(tensor, whole.adapter[name]) for name, tensor in resumed.adapter.items())


def test_differences_of_another_network_are_refused(model: BaseModel) -> None:
    names = [difference_name(name) for name in attention_weights(model)]
    assert {name.rsplit(".", 1)[1] for name in names} == {"diff", "diff_b"}
    tensors = {f"unet.{name}": torch.zeros(1) for name in names}
    with (
        pytest.raises(InvalidPrior, match="do not fit"),
        lora.use_adapter(model, Prior(tensors, make_prior(model).manifest)),
    ):
        pass
