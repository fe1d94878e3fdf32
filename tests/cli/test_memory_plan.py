"""The plan of GPU memory in `lipe doctor`: counts are the networks' own, and SDXL's true size is planned for cards."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from benchmarks import sdxl_size
from benchmarks.sdxl_size import Scale
from cli.doctor import plan, workers
from cli.doctor.memory_counts import SDXL, MemoryCounts, read_counts
from cli.doctor.memory_plan import MemoryPlan
from cli.doctor.partial_settings import read_settings
from cli.doctor.seconds import Work, seconds_line
from lipe_core import base_models, sdxl
from lipe_core.adapters import lora
from lipe_core.adapters.full_attention import attention_weights
from lipe_core.backbone import BaseModel
from lipe_core.checkpoint import sdxl_memory
from lipe_core.quantization import QuantizedLinear
from tests.support.tiny_klein import write_klein

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


def test_the_counts_of_a_klein_are_those_of_its_networks(tmp_path: Path) -> None:
    write_klein(tmp_path)
    model, counts = base_models.load(tmp_path), read_counts(tmp_path, RANK, lora.TARGETS)
    text_encoder = model.networks[-1]
    assert counts.attention == sum(weight.numel() for weight in attention_weights(model).values())
    assert counts.text_encoder == sum(weight.numel() for weight in text_encoder.parameters())
    with lora.new_adapter(model, rank=RANK, alpha=RANK, seed=0):
        assert counts.lora == sum(weight.numel() for weight in lora.adapter_parameters(model).values())
    plan = MemoryPlan(replace(counts, text_encoder=4 * 10**9), RANK, 0, None)
    for line in (plan.training_line(), plan.editing_line()):
        assert "the text encoder (8.0 GB of the base model) leaves once prompts are encoded" in line


def test_8_bits_of_sdxl_fit_a_smaller_gpu() -> None:
    small = MemoryPlan(replace(SDXL, bits=8), RANK, LLAVA, 10 * 10**9)
    assert small.training_line() == (
        "LoRA of rank 16: 15.8 GB plain, 5.5 GB with gradient checkpointing, 4.9 GB row by row; here with gradient "
        "checkpointing; full attention: not with LIPE_BASE_MODEL_BITS=8"
    )
    assert small.editing_line().startswith("4.0 GB base model + under 0.1 GB weights of a prior's LoRA + 1.2 GB")
    assert "3 rows fit at once" in small.editing_line()
    assert small.workers_line().startswith("one for both kinds")
    assert "too little" in replace(small, card=8 * 10**9).workers_line()


@pytest.mark.parametrize("family", ["sdxl", "flux2"])
def test_with_8_bits_linear_layers_take_one_byte_a_parameter(checkpoint: Path, tmp_path: Path, family: str) -> None:
    folder = checkpoint
    if family == "flux2":
        write_klein(folder := tmp_path / "klein")
    full, rounded = (base_models.load(folder, dtype=torch.bfloat16, bits=bits) for bits in (16, 8))
    counts = read_counts(folder, RANK, lora.TARGETS)
    small = replace(counts, bits=8)
    assert weight_bytes(full) - weight_bytes(rounded) == counts.resident - small.resident == counts.linear > 0
    assert small.editing - small.resident == 2 * counts.lora


def weight_bytes(model: BaseModel) -> int:
    """Without the scales of rounded weights, which are a thousandth at true size."""
    layers = [layer for network in model.networks for layer in network.modules() if isinstance(layer, QuantizedLinear)]
    rounded = sum(layer.weight.nbytes for layer in layers)
    return rounded + sum(weight.nbytes for network in model.networks for weight in network.parameters())


def test_the_constants_for_a_hub_id_are_sdxls_counts(true_size: MemoryCounts) -> None:
    assert true_size == SDXL
    assert true_size.resident == pytest.approx(sdxl_memory.RESIDENT, rel=0.001)
    assert true_size.editing - true_size.resident == pytest.approx(sdxl_memory.PRIOR, rel=0.001)


def test_at_sdxls_size_full_attention_takes_15_3_gb_beside_the_base_model(true_size: MemoryCounts) -> None:
    assert true_size.attention_training - true_size.resident == 16 * 955_353_600
    ways = sdxl_memory.TRAININGS["full_attention"]
    assert 16 * 955_353_600 < ways["with gradient checkpointing"] < 15.8e9
    line = plan_for(24).training_line()
    assert "LoRA of rank 16: 18.6 GB plain, 8.3 GB with gradient checkpointing, 7.8 GB row by row; here plain" in line
    assert "full attention: 29.7 GB plain, 22.6 GB with gradient checkpointing" in line
    assert line.endswith("too much for this GPU")
    assert plan_for(80).training_line().endswith("here plain")
    assert "here with gradient checkpointing; full" in plan_for(16).training_line()


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        (8, "this GPU has 8.0 GB, which is too little: use a larger one"),
        (16, "one for both kinds, as `lipe up` starts it: 13.9 GB of 16.0 GB"),
        (24, "one for both kinds, as `lipe up` starts it: 22.1 GB of 24.0 GB"),
        (80, "two: a worker for trainings (LoRA) and one for edits need 36.0 GB together, and this GPU has 80.0 GB"),
    ],
)
def test_the_plan_says_whether_two_workers_fit(card: int, expected: str) -> None:
    assert plan_for(card).workers_line().startswith(expected)
    assert plan_for(card).fits_two_workers() == (card == 80)


@pytest.mark.parametrize(
    ("card", "rows", "images"),
    [
        (12, None, "too small"),
        (14, 1, "in tiles, 0.4 GB"),
        (16, 6, "one by one, 1.6 GB"),
        (24, 27, "one by one"),
        (80, 173, "one by one"),
    ],
)  # fmt: skip
def test_the_plan_says_how_many_rows_fit_and_how_images_are_decoded(card: int, rows: int | None, images: str) -> None:
    line = plan_for(card).editing_line()
    start = (
        "6.9 GB base model + 1.9 GB weights that a prior changes + 1.2 GB features of the source + 0.4 GB for each row"
    )
    assert line.startswith(start)
    assert images in line
    assert (f"; {rows} rows fit at once" in line) == (rows is not None), line


def test_the_captioner_shares_the_gpu_or_has_it_alone() -> None:
    assert (
        plan_for(80).captioning_line().endswith("6.9 GB base model + 14.1 GB captioner + 0.5 GB for an image; both fit")
    )
    line = plan_for(24).captioning_line()
    assert line.endswith("the base model moves to main memory for this time, and 14.6 GB remain, which fits")
    assert plan_for(16).captioning_line().endswith("which does not fit: use a smaller captioner")
    assert MemoryPlan(SDXL, RANK, None, None).captioning_line().startswith("unknown: the captioner is a hub id")


def plan_for(card: int) -> MemoryPlan:
    """The plan for SDXL on a GPU of so many GB."""
    return MemoryPlan(SDXL, RANK, LLAVA, card * 10**9)


def test_seconds_come_from_the_data_sheet() -> None:
    work = Work(training_steps=500, training_rows=2, images=48, image_steps=30, edit_evaluations=102)
    line = seconds_line("NVIDIA A100-SXM4-80GB", work)
    assert line.startswith(
        "estimate, not measured: a training 144 s, its class images 208 s, an edit 8 s, at 30% of the"
    )
    assert seconds_line("NVIDIA A10", work).endswith("125 TFLOP/s in the data sheet of NVIDIA A10")
    assert seconds_line("Radeon", work).startswith("unknown: no data sheet of Radeon")
    assert seconds_line(None, work) == "no GPU is in use here"


def test_the_doctor_plans_for_the_card_it_finds(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIPE_BASE_MODEL", str(checkpoint))
    monkeypatch.setenv("LIPE_DEVICE", "auto")
    gpu = SimpleNamespace(
        is_available=lambda: True, mem_get_info=lambda: (0, 24 * 10**9), get_device_name=lambda: "NVIDIA A10"
    )
    monkeypatch.setattr(torch, "cuda", gpu)
    assert "this GPU has 24.0 GB" in plan.plan_phase("workers", read_settings()).text
    assert plan.plan_phase("seconds", read_settings()).text == "unknown: the FLOPs were counted for SDXL's size only"
    monkeypatch.setenv("LIPE_BASE_MODEL", "/nope")
    finding = plan.plan_phase("workers", read_settings())
    assert (finding.result, "usable base model" in finding.text) == ("unchecked", True), finding.text
    monkeypatch.setenv("LIPE_BASE_MODEL", "org/name")  # a hub id counts as SDXL base
    assert "22.1 GB of 24.0 GB" in plan.plan_phase("workers", read_settings()).text
    assert "data sheet of NVIDIA A10" in plan.plan_phase("seconds", read_settings()).text
    workers.main()
    assert capsys.readouterr().out == "one\n"
