"""A network in float16 trains as one in float32, because its loss is scaled."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from lipe_core import sdxl
from lipe_core.subject import Sample
from lipe_core.training import dataset
from lipe_core.training.config import PriorConfig
from lipe_core.training.loss_scale import FACTOR, scaled, unscale_gradients
from lipe_core.training.train import train_adapter


def test_gradients_that_float16_would_lose_survive() -> None:
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight])
    small = torch.tensor(1e-4, dtype=torch.float16)
    gradients: list[float] = []
    for scale in (1.0, FACTOR):
        weight.grad = None
        loss = ((weight.half() * small) * small).sum().float() * scale  # its gradient is 1e-8
        loss.backward()
        assert weight.grad is not None
        gradients.append(weight.grad.item())
    assert unscale_gradients(optimizer, torch.float16)
    assert gradients[0] == 0
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(1e-8, rel=0.1)


def test_a_gradient_out_of_range_leaves_the_step_out_and_other_precisions_are_not_scaled() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight])
    weight.grad = torch.tensor([1.0, float("inf")])
    assert not unscale_gradients(optimizer, torch.float16)
    weight.grad = torch.tensor([FACTOR, 1.0])
    assert unscale_gradients(optimizer, torch.bfloat16)
    assert weight.grad[0] == FACTOR
    loss = torch.ones(())
    assert scaled(loss, torch.bfloat16) is loss


def test_a_float16_network_has_the_losses_of_a_float32_one(tiny_checkpoint: Path) -> None:
    config = PriorConfig(steps=3, warmup=0, learning_rate=1e-3, rank=4, compute_dtype="float32")
    photo = Image.linear_gradient("L").resize((64, 64)).convert("RGB")
    losses = []
    for dtype in (torch.float32, torch.float16):
        model = sdxl.load(tiny_checkpoint, dtype=dtype)
        sets = dataset.encode(model, [Sample(photo, "a photo of sks dog")])
        losses.append(train_adapter(model, sets, None, config).losses)
    assert losses[1] == pytest.approx(losses[0], rel=0.01)
