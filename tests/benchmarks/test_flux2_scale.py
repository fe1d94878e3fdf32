"""The measurement at klein's size runs on a CPU at a small one, and its full size is that of klein base 4B."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks import flops, flux2_random, flux2_scale
from benchmarks.flux2_random import Scale
from cli.doctor.memory_counts import KLEIN

PAGE = Path(__file__).parents[2] / "docs" / "backbones.md"
SMALL = ("--double", "1", "--single", "2", "--heads", "1", "--text-width", "80", "--side", "64")


def test_the_full_scale_has_the_parameters_and_flops_of_klein() -> None:
    full = Scale()
    with torch.device("meta"):
        parts = flux2_random.transformer(full), flux2_random.text_encoder(full, 100), flux2_random.vae(full)
    counts = [sum(weight.numel() for weight in part.parameters()) for part in parts]
    assert (sum(counts), counts[1]) == (KLEIN.base_model, KLEIN.text_encoder)
    evaluation, step = flux2_random.flops(full)
    assert f"evaluation of one row | {evaluation / 1e12:.1f} TFLOPs" in PAGE.read_text()
    assert 1.9 < step / evaluation < 2.5  # attention's own backward pass has more products than its forward pass


def test_it_measures_each_phase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flops, "_SECONDS", 0.01)
    torch.set_num_threads(1)
    flux2_scale.main([*SMALL, "--steps", "2", "--edit-steps", "2", "--device", "cpu", "--out", str(tmp_path)])
    found = json.loads((tmp_path / "klein.json").read_text())
    assert [phase["name"] for phase in found["phases"]] == ["networks", "prompts", "training", "edit"]
    assert all(phase["peak_gb"] >= phase["start_gb"] > 0 for phase in found["phases"])
    assert found["seconds_per_step"] > 0
    assert found["evaluations"] >= 2 * 2  # inversion and generation of two steps
    assert found["encodings"] > 0
    assert not found["is_full"]
    assert "a smaller klein" in (tmp_path / "klein.md").read_text()


def test_sizes_that_cannot_be_built_are_refused() -> None:
    for change in ({"side": 100}, {"text_width": 100}, {"heads": 0}):
        with pytest.raises(ValueError, match="must be"):
            Scale(**change)
