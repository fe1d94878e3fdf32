"""The table and the files of the quality benchmark. The systems have tests of their own."""

import argparse
import json
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import quality
from benchmarks.judges import add_metrics, load_judges
from benchmarks.quality_report import COLUMNS, Run, as_markdown, leads, table, write_report
from benchmarks.systems import SYSTEMS
from lipe_core.methods.registry import METHODS
from lipe_core.recipe import load_recipe
from menagerie.models import CHECKPOINT
from menagerie.subjects import EDITS, benchmark
from menagerie.vision_models import CLIP, DINOV2

DRAWN = benchmark()[:2]


def make_run(folder: Path, subject: str, system: str, success: list[bool | None], identity: float) -> Run:
    """A run as `quality` writes it."""
    run_folder = folder / f"{subject}-{system}"
    run_folder.mkdir()
    scores = [
        {
            "edit": edit, "clean": bool(done), "success": done, "identity": identity, "whole": True, "damage": 0.01,
            "ghost_share": 0.0, "accessory_kept": True, "placed_psnr": 21.0, "background_psnr": 30.0,
            "background_psnr_composite": 40.0, "mask_iou": 0.5, "target_psnr": 20.0,
        }
        for edit, done in zip(EDITS, success, strict=True)
    ]  # fmt: skip
    facts = {
        "subject": subject,
        "kind": "animal",
        "system": system,
        "seconds": 2.0,
        "evaluations": 90,
        "peak_mb": 100.0,
        "scores": scores,
    }
    (run_folder / "run.json").write_text(json.dumps(facts))
    for k in range(len(scores)):
        for role in ("image", "edit_mask", "source_mask"):
            Image.new("RGB" if role == "image" else "L", (128, 128)).save(run_folder / f"{role}-{k}.png")
    return Run.read(run_folder)


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    judges = load_judges(CLIP, DINOV2)
    work = [
        make_run(tmp_path, DRAWN[0].name, "lipe", [True, True, False, None], 1.0),
        make_run(tmp_path, DRAWN[1].name, "lipe", [True, True, True, True], 0.5),
        make_run(tmp_path, DRAWN[0].name, "ddim", [False, False, False, None], 0.25),
    ]
    return [add_metrics(run, next(d for d in DRAWN if d.name == run.subject), judges) for run in work]


def test_a_system_has_the_mean_of_its_subjects_without_edits_that_were_not_judged(runs: list[Run]) -> None:
    cells = table(runs)
    success = cells["lipe"]["edit success"]
    assert success.mean == pytest.approx((2 / 3 + 1) / 2)
    assert success.low == pytest.approx(2 / 3)
    assert success.high == pytest.approx(1)
    assert cells["lipe"]["identity given success"].mean == pytest.approx(0.75)
    assert "identity given success" not in cells["ddim"]
    assert cells["lipe"]["clean x identity x composited dB"].mean == pytest.approx((2 / 4 * 1.0 * 40 + 0.5 * 40) / 2)


def test_the_first_system_is_compared_on_the_subjects_that_both_have_edited(runs: list[Run]) -> None:
    (lead,) = leads(runs).values()
    assert lead["edit success"].mean == pytest.approx(2 / 3 - 0)  # the first subject's; ddim lacks the second
    assert lead["identity"].mean == pytest.approx(0.75)
    assert leads(runs[:2]) == {}


def test_the_report_has_all_columns_and_files(runs: list[Run], tmp_path: Path) -> None:
    text = write_report(runs, DRAWN, {"pose": 0.99}, tmp_path / "report")
    assert text.splitlines()[2].startswith("| lipe | 0.75 (0.50 to 1.00) | 0.83 (0.67 to 1.00) |")
    assert text.splitlines()[3].startswith("| ddim (1 of 2) | 0.00 ")
    assert "pose 99.0%" in text
    assert "| ddim | 0.50 (0.50 to 0.50) | 0.67 (0.67 to 0.67) |" in text
    assert all(f" {name} |" in text for name in ("DINOv2-I", "DINOv2-I whole", "CLIP-I", "CLIP-T", "CLIP-D"))
    figures = json.loads((tmp_path / "report" / "table.json").read_text())
    assert figures["systems"]["ddim"]["edit success"]["mean"] == 0
    # The weights of LPIPS are not in the repository.
    assert set(figures["systems"]["lipe"]) == set(COLUMNS) - {"composited LPIPS"}
    for page in (*(f"sheets/{drawn.name}.png" for drawn in DRAWN), "quality.png"):
        with Image.open(tmp_path / "report" / page) as image:
            assert image.width > 1000
    assert len(as_markdown(table(runs), {}, 2).splitlines()[0].split("|")) == len(COLUMNS) + 3


def test_the_settings_of_every_system_fit_its_method() -> None:
    recipe = load_recipe(CHECKPOINT)
    for system in SYSTEMS.values():
        assert isinstance(quality.config_of(system, recipe), METHODS[system.method].config)
    assert {system.method for system in SYSTEMS.values()} == set(METHODS)


def test_a_backbone_without_a_miniature_is_refused_with_advice() -> None:
    with pytest.raises(SystemExit, match=r"menagerie/klein is missing.*pretrain_klein"):
        quality.main(["--backbone", "flux2"])


@pytest.mark.parametrize("options", [["--systems", "mystyle", "--subjects", "1"], ["--subjects", "0"]])
def test_a_benchmark_without_any_edit_is_refused(options: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"one of the [01] subjects: choose more"):
        quality.main([*options, "--out", str(tmp_path)])
    assert not list(tmp_path.iterdir())


def test_an_unknown_system_is_refused_by_name() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="magic"):
        quality.parse_systems("lipe; magic")
    assert quality.parse_systems("lipe, no mask; ddim") == ["lipe, no mask", "ddim"]
