"""The variants of the speed benchmark compute the same, and its measurements are right."""

from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from benchmarks import sdxl_size
from benchmarks.editing import ATTENTION_RECORDERS
from benchmarks.flops import counted
from benchmarks.measure import ResourceMonitor, ratios
from benchmarks.sdxl_size import Scale
from benchmarks.speed import Comparison, parse
from lipe_core import sdxl
from lipe_core.sdxl import BaseModel, Tokens

SMALL = Scale(depth=1, width=64, side=128)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    torch.set_num_threads(1)
    return sdxl.load(sdxl_size.write_checkpoint(tmp_path_factory.mktemp("small"), SMALL))


def test_every_way_of_recording_attention_gives_the_same_output_and_maps(model: BaseModel) -> None:
    prompts = ["a photo of sks dog", "sks dog jumping"]
    positions = [sdxl.token_positions(model, prompt, ["sks", "dog"]) for prompt in prompts]
    content = [model.content_positions(prompt) for prompt in prompts]
    tokens = Tokens.of(positions, content, model.tokenizers[0].model_max_length)
    denoise = sdxl.denoiser(model, sdxl.encode_prompt(model, ["", *prompts], size=(128, 128)))
    x_t = torch.randn(3, *model.latent_shape((128, 128)), generator=torch.Generator().manual_seed(0))
    outputs, maps = {}, {}
    for name, record in ATTENTION_RECORDERS.items():
        with record(model.unet, tokens, latent_size=(16, 16), attention_tokens=16, refine=2) as store:
            outputs[name] = denoise(x_t, 500)
            maps[name] = store.pop()
    assert maps["lipe"].shape == (2, 1, 4, 4)
    assert maps["lipe"].std() > 1e-4
    for name in ("stored cross maps", "stored maps"):
        torch.testing.assert_close(outputs[name], outputs["lipe"], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(maps[name], maps["lipe"], rtol=1e-3, atol=1e-5)


def test_full_scale_has_the_parameters_of_sdxl() -> None:
    with torch.device("meta"):
        unet: UNet2DConditionModel = sdxl_size.unet(Scale(), 768, 1280)
        vae = sdxl_size.vae(Scale())
        first = CLIPTextModel(sdxl_size.text_config(Scale(), 100, 768, 12))
        second = CLIPTextModelWithProjection(sdxl_size.text_config(Scale(), 100, 1280, 32))
    counts = [sum(weight.numel() for weight in network.parameters()) for network in (unet, vae, first, second)]
    assert counts == [2_567_463_684, 83_653_863, 123_060_480, 694_659_840]


def test_flops_are_those_of_the_products() -> None:
    q, k, v = (torch.randn(1, 2, length, 8) for length in (16, 4, 4))
    attention = torch.nn.functional.scaled_dot_product_attention
    assert counted(lambda: attention(q, k, v)) == 2 * 2 * (2 * 16 * 4 * 8)


def test_the_peak_includes_memory_that_is_allocated_after_the_reset_only() -> None:
    monitor = ResourceMonitor("cpu")
    before = torch.ones(40 * 2**20 // 4)
    del before
    start_mb = monitor.reset_peak()
    after = torch.ones(30 * 2**20 // 4)
    assert 29 < monitor.peak_mb() - start_mb < 36
    del after


def test_ratios_compare_the_runs_of_the_same_turn() -> None:
    assert ratios([2.0, 30.0, 4.0], [1.0, 10.0, 4.0]) == "2.00 (1.00 to 3.00)"


def test_a_table_has_a_row_for_each_variant() -> None:
    runs = {"LIPE": [{"seconds": 1.0}, {"seconds": 2.0}], "other": [{"seconds": 3.0}, {"seconds": 4.0}]}
    lines = Comparison("An edit", runs).as_markdown().splitlines()
    assert lines[2:] == [
        "| | seconds | time, relative to LIPE |", "|---|---|---|", "| LIPE | 1.5 | 1.00 (1.00 to 1.00) |",
        "| other | 3.5 | 3.00 (2.00 to 3.00) |",
    ]  # fmt: skip


@pytest.mark.parametrize("wrong", [{"depth": 0}, {"width": 50}, {"side": 100}])
def test_an_impossible_scale_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="multiple of 32"):
        Scale(**wrong)


def test_a_missing_script_is_refused_by_name(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        parse(["--example", str(tmp_path / "none.py")])
    assert "none.py is not a file" in capsys.readouterr().err
