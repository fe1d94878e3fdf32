"""Metrics of known images: true results, and copies of the test image."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.judges import Judges, add_metrics, load_judges
from benchmarks.quality_report import Run
from lipe_core.metrics.background import psnr
from menagerie.attributes import Drawing
from menagerie.experiment import image_of
from menagerie.subjects import DrawnSubject, benchmark
from menagerie.vision_models import CLIP, DINOV2

SUBJECTS = benchmark()


def make_run(folder: Path, drawn: DrawnSubject, drawings: list[Drawing]) -> Run:
    folder.mkdir()
    facts = {
        "subject": drawn.name, "kind": drawn.identity.kind, "system": "any", "seconds": 1.0, "evaluations": 1,
        "peak_mb": 1.0,
    }  # fmt: skip
    scores = [{"edit": edit.name, "identity": 1.0} for edit in drawn.edits]
    (folder / "run.json").write_text(json.dumps({**facts, "scores": scores}))
    for k, drawing in enumerate(drawings):
        image_of(drawing).save(folder / f"image-{k}.png")
    return Run.read(folder)


@pytest.fixture(scope="module")
def judges() -> Judges:
    return load_judges(CLIP, DINOV2)


def means(run: Run) -> dict[str, float]:
    names = run.scores[0].keys() - {"edit"}
    return {name: sum(score[name] for score in run.scores) / len(run.scores) for name in names}


def test_a_copy_keeps_the_identity_and_a_true_result_follows_the_prompt(judges: Judges, tmp_path: Path) -> None:
    drawn = SUBJECTS[0]
    copied = add_metrics(make_run(tmp_path / "copy", drawn, [drawn.test] * 4), drawn, judges)
    true = add_metrics(make_run(tmp_path / "true", drawn, [edit.truth for edit in drawn.edits]), drawn, judges)
    copy, truth = means(copied), means(true)
    assert copy["identity"] == 1.0  # the scores of the run stay
    assert copy["dinov2_i_whole"] == pytest.approx(1, abs=1e-4)
    assert copy["clip_i_whole"] == pytest.approx(1, abs=1e-4)
    assert all(score["clip_d"] == 0 for score in copied.scores)
    assert truth["clip_d"] > 0.1
    assert truth["clip_t"] > copy["clip_t"]


def test_images_of_another_subject_lose_the_identity(judges: Judges, tmp_path: Path) -> None:
    drawn, other_subject = SUBJECTS[0], SUBJECTS[1]
    own = means(add_metrics(make_run(tmp_path / "own", drawn, [edit.truth for edit in drawn.edits]), drawn, judges))
    other = means(
        add_metrics(make_run(tmp_path / "other", drawn, [edit.truth for edit in other_subject.edits]), drawn, judges)
    )
    assert own["dinov2_i"] > other["dinov2_i"] + 0.2
    assert own["clip_i"] > other["clip_i"]


def test_the_background_is_outside_both_silhouettes(judges: Judges, tmp_path: Path) -> None:
    drawn, other_subject = SUBJECTS[0], SUBJECTS[1]
    without_lpips = add_metrics(make_run(tmp_path / "without", drawn, [drawn.test] * 4), drawn, judges)
    assert "background_lpips" not in without_lpips.scores[0]
    measured = replace(judges, lpips=psnr)
    copied = means(add_metrics(make_run(tmp_path / "copy", drawn, [drawn.test] * 4), drawn, measured))
    own = means(add_metrics(make_run(tmp_path / "own", drawn, [edit.truth for edit in drawn.edits]), drawn, measured))
    other = means(
        add_metrics(make_run(tmp_path / "other", drawn, [edit.truth for edit in other_subject.edits]), drawn, measured)
    )
    assert copied["background_ssim"] == pytest.approx(1)
    assert copied["background_lpips"] == 60  # `psnr` of equal images
    assert own["background_ssim"] > 0.95 > 0.8 > other["background_ssim"]
    assert own["background_lpips"] > other["background_lpips"] + 10
