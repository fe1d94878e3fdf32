"""The plan of GPU memory in `lipe doctor`: counts are the networks' own, and SDXL's true size is planned for cards."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from benchmarks import sdxl_size
from benchmarks.sdxl_size import Scale
from cli.doctor import plan
from cli.doctor.memory_counts import MemoryCounts, read_counts
from cli.doctor.memory_plan import MemoryPlan
from cli.doctor.partial_settings import read_settings
from lipe_core import sdxl
from lipe_core.adapters import lora
from lipe_core.adapters.full_attention import attention_weights

RANK = 16
LLAVA = 7_063_000_000
"""About the number of parameters of a captioner."""


@pytest.fixture(scope="module")
def true_size(tmp_path_factory: pytest.TempPathFactory) -> MemoryCounts:
    """The counts of a folder with weight files of SDXL's shapes. Their tensors are holes that take no disk space."""
    scale, folder = Scale(), tmp_path_factory.mktemp("true-size")
    with torch.device("meta"):
        first, second = (sdxl_size.text_config(scale, 1000, width, layers) for width, layers in ((768, 12), (1280, 32)))
        networks = {
            "unet/diffusion_pytorch_model": sdxl_size.unet(scale, first.hidden_size, second.hidden_size),
            "vae/diffusion_pytorch_model": sdxl_size.vae(scale),
            "text_encoder/model": CLIPTextModel(first),
            "text_encoder_2/model": CLIPTextModelWithProjection(second),
        }
    for name, network in networks.items():
        write_holes(folder / f"{name}.safetensors", {key: tuple(w.shape) for key, w in network.named_parameters()})
    return read_counts(folder, RANK, lora.TARGETS)


def write_holes(file: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Write a safetensors file of bfloat16 tensors whose content is a hole."""
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": (start, end)}
    text = json.dumps(header).encode()
    file.parent.mkdir()
    with file.open("wb") as content:
        content.write(len(text).to_bytes(8, "little") + text)
        content.truncate(8 + len(text) + end)


@pytest.mark.parametrize("targets", [lora.TARGETS, ("to_v", "to_out.0")])
def test_the_counts_are_those_of_the_networks(checkpoint: Path, targets: tuple[lora.Target, ...]) -> None:
    model = sdxl.load(checkpoint)
    counts = read_counts(checkpoint, RANK, targets)
    networks = (model.unet, model.vae, *model.text_encoders)
    assert counts.base_model == sum(weight.numel() for network in networks for weight in network.parameters())
    assert counts.attention == sum(weight.numel() for weight in attention_weights(model).values())
    with lora.new_adapter(model, rank=RANK, alpha=RANK, seed=0, targets=targets):
        assert counts.lora == sum(weight.numel() for weight in lora.adapter_parameters(model).values())
    assert not counts.is_sdxl


def test_at_sdxls_size_full_attention_takes_15_3_gb_beside_the_base_model(true_size: MemoryCounts) -> None:
    assert true_size.is_sdxl
    assert true_size.attention_training - true_size.resident == 16 * 955_353_600
    line = MemoryPlan(true_size, RANK, 0, None).training_line()
    assert "LoRA of rank 16: 22.0 GB (measured at rank 16" in line
    assert "of which 7.3 GB without activations" in line
    assert "full attention: 6.9 GB base model + 15.3 GB weights and optimizer, activations come on top" in line


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        (16, "run one worker for both, `lipe worker` without --queues"),
        (24, "run one worker for both, `lipe worker` without --queues"),
        (80, "need at least 30.8 GB together; this GPU has 80.0 GB, so that 49.2 GB remain"),
        (8, "this GPU has 8.0 GB, which is too little: use a larger one"),
    ],
)
def test_the_plan_says_whether_two_workers_fit(true_size: MemoryCounts, card: int, expected: str) -> None:
    line = MemoryPlan(true_size, RANK, 0, card * 10**9).workers_line()
    assert expected in line
    assert ("trainings then depend on what is done if memory is full" in line) == (card == 16)


def test_what_is_not_known_is_called_unknown(true_size: MemoryCounts) -> None:
    found = MemoryPlan(true_size, RANK, LLAVA, None)
    assert found.captioning_line().startswith(
        "6.9 GB base model + 14.1 GB captioner; activations come on top and are unk"
    )
    assert found.editing_line().startswith("6.9 GB base model + 1.9 GB weights that a prior changes; activations come")
    assert MemoryPlan(true_size, RANK, None, None).captioning_line().startswith("unknown: the captioner is a hub id")


def test_the_doctor_plans_for_the_card_it_finds(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPE_BASE_MODEL", str(checkpoint))
    monkeypatch.setenv("LIPE_DEVICE", "auto")
    gpu = SimpleNamespace(is_available=lambda: True, mem_get_info=lambda: (0, 24 * 10**9))
    monkeypatch.setattr(torch, "cuda", gpu)
    assert "this GPU has 24.0 GB" in plan.plan_phase("workers", read_settings()).text
    for name, reason in (("/nope", "usable base model"), ("org/name", "a hub id")):
        monkeypatch.setenv("LIPE_BASE_MODEL", name)
        finding = plan.plan_phase("workers", read_settings())
        assert (finding.result, reason in finding.text) == ("unchecked", True), finding.text
