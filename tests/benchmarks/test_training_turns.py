"""Both steps of the comparison train, and each is measured."""

import json

import pytest

from benchmarks import diffusers_counterparts, training_turns
from lipe_core import sdxl
from menagerie.models import CHECKPOINT


def test_a_line_for_each_batch_size_has_both_medians(capsys: pytest.CaptureFixture[str]) -> None:
    training_turns.main(["--batches", "1", "--steps", "1"])
    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert line["images"] == "1 + 1"
    assert line["ratio"] == pytest.approx(line["example_seconds"] / line["lipe_seconds"], rel=0.05)


def test_the_step_of_the_example_changes_its_adapter_and_removes_it() -> None:
    model = sdxl.load(CHECKPOINT)
    with diffusers_counterparts.lora_training_step(model, rank=2, with_vae=True, batch=1) as step:
        weight = next(weight for name, weight in model.unet.named_parameters() if "lora_B" in name)
        assert not weight.any()
        assert step() > 0
        assert weight.any()
    assert not any("lora_" in name for name, _ in model.unet.named_parameters())
