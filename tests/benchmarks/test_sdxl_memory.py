"""The count of live memory is right, and the recorded figures are those of the benchmark."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from benchmarks import sdxl_memory
from benchmarks.live_memory import flops, peak_bytes
from lipe_core.checkpoint import sdxl_memory as recorded


def test_a_tensor_counts_from_its_creation_to_its_last_use() -> None:
    weight = torch.ones(100, 100)

    def work() -> None:
        kept = weight + 1  # 40,000 bytes
        for _ in range(3):
            kept * 2  # 40,000 more, released at once
        weight.view(-1)  # no memory of its own

    assert peak_bytes(work, [weight]) == 80_000


def test_tensors_that_autograd_keeps_count_and_checkpointing_releases_them() -> None:
    layers = nn.Sequential(*(nn.Sequential(nn.Linear(64, 64), nn.GELU()) for _ in range(8)))
    x = torch.ones(256, 64)

    def plain() -> None:
        layers(x).sum().backward()

    def checkpointed() -> None:
        y = x
        for layer in layers:
            y = checkpoint(layer, y, use_reentrant=False)
        y.sum().backward()

    resident = [x, *layers.parameters()]
    assert 16 * x.nbytes <= peak_bytes(plain, resident) < 21 * x.nbytes
    assert peak_bytes(checkpointed, resident) < 13 * x.nbytes


def test_flops_are_those_of_the_products() -> None:
    assert flops(lambda: torch.ones(8, 16) @ torch.ones(16, 4)) == 2 * 8 * 16 * 4


@pytest.mark.slow
def test_the_recorded_figures_of_an_image_are_those_of_the_benchmark() -> None:
    with sdxl_memory.fake_model() as model:
        found = dict(sdxl_memory.images(model))
    for name, figure in (("sliced decoding", recorded.DECODED_IMAGE), ("tiled decoding", recorded.DECODED_TILE)):
        assert found[name].peak == pytest.approx(figure, rel=0.001)
    assert found["sliced encoding"].peak < recorded.DECODED_IMAGE
    assert found["decoding"].flops == pytest.approx(recorded.DECODING_FLOPS, rel=0.001)
    assert found["encoding"].flops == pytest.approx(recorded.ENCODING_FLOPS, rel=0.001)
