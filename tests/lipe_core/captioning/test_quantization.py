"""Linear layers with 8-bit weights: the error is bounded, and shared weights stay."""

import torch
from PIL import Image
from torch import nn

from lipe_core.captioning import vlm
from lipe_core.captioning.quantization import Int8Linear, quantize
from lipe_core.subject import Subject
from menagerie.draw import render
from menagerie.subjects import fresh
from menagerie.vision_models import CAPTIONER


def test_the_output_is_within_half_a_step_of_each_weight() -> None:
    torch.manual_seed(0)
    layer, inputs = nn.Linear(48, 16), torch.randn(5, 48)
    with torch.no_grad():
        layer.weight[3] = 0
        steps = layer.weight.abs().amax(dim=1) / 127
        bound = 0.5 * steps * inputs.abs().sum(dim=1, keepdim=True)
        difference = (Int8Linear(layer)(inputs) - layer(inputs)).abs()
    assert (difference <= bound + 1e-5).all()
    assert difference.max() > 0


def test_all_linear_layers_are_replaced_except_those_with_shared_weights() -> None:
    network = nn.ModuleDict({"words": nn.Embedding(20, 8), "inner": nn.Sequential(nn.Linear(8, 8), nn.GELU())})
    network["head"] = nn.Linear(8, 20, bias=False)
    network["head"].weight = network["words"].weight
    quantize(network)
    kinds = {name: type(module) for name, module in network.named_modules()}
    assert kinds["inner.0"] is Int8Linear
    assert kinds["head"] is nn.Linear


def test_the_miniature_captioner_writes_the_same_in_a_third_of_the_memory() -> None:
    subject, image = Subject("sks", "dog"), Image.fromarray(render(next(iter(fresh(1, 5))).test))
    full, small = vlm.load(CAPTIONER), vlm.load(CAPTIONER, bits=8)
    assert _bytes(small.network) < 0.45 * _bytes(full.network)
    assert vlm.captioner(small)([image], subject) == vlm.captioner(full)([image], subject)


def _bytes(network: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in [*network.parameters(), *network.buffers()])
