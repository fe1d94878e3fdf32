"""The true pictures of a subject's edits, and a copy of the test picture, as two systems' work."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.judges import Judges, judged, load_judges
from benchmarks.quality_report import Run
from lipe_core.metrics.background import psnr
from menagerie.attributes import Drawing
from menagerie.experiment import picture
from menagerie.subjects import DrawnSubject, benchmark
from menagerie.vision_models import CLIP, DINOV2

SUBJECTS = benchmark()


def work(folder: Path, drawn: DrawnSubject, drawings: list[Drawing]) -> Run:
    folder.mkdir()
    facts = {
        "subject": drawn.name, "kind": drawn.identity.kind, "system": "any", "seconds": 1.0, "evaluations": 1,
        "peak_mb": 1.0,
    }  # fmt: skip
    scores = [{"edit": edit.name, "identity": 1.0} for edit in drawn.edits]
    (folder / "run.json").write_text(json.dumps({**facts, "scores": scores}))
    for k, drawing in enumerate(drawings):
        picture(drawing).save(folder / f"image-{k}.png")
    return Run.read(folder)


@pytest.fixture(scope="module")
def judges() -> Judges:
    return load_judges(CLIP, DINOV2)


def means(run: Run) -> dict[str, float]:
    names = run.scores[0].keys() - {"edit"}
    return {name: sum(score[name] for score in run.scores) / len(run.scores) for name in names}


def test_a_copy_is_all_identity_and_no_edit_and_the_truth_goes_where_the_prompt_points(
    judges: Judges, tmp_path: Path
) -> None:
    drawn = SUBJECTS[0]
    copied = judged(work(tmp_path / "copy", drawn, [drawn.test] * 4), drawn, judges)
    true = judged(work(tmp_path / "true", drawn, [edit.truth for edit in drawn.edits]), drawn, judges)
    copy, truth = means(copied), means(true)
    assert copy["identity"] == 1.0  # what was there stays
    assert copy["dinov2_i_whole"] == pytest.approx(1, abs=1e-4)
    assert copy["clip_i_whole"] == pytest.approx(1, abs=1e-4)
    assert all(score["clip_d"] == 0 for score in copied.scores)
    assert truth["clip_d"] > 0.1
    assert truth["clip_t"] > copy["clip_t"]


def test_another_subjects_pictures_lose_the_identity(judges: Judges, tmp_path: Path) -> None:
    drawn, stranger = SUBJECTS[0], SUBJECTS[1]
    own = means(judged(work(tmp_path / "own", drawn, [edit.truth for edit in drawn.edits]), drawn, judges))
    other = means(judged(work(tmp_path / "other", drawn, [edit.truth for edit in stranger.edits]), drawn, judges))
    assert own["dinov2_i"] > other["dinov2_i"] + 0.2
    assert own["clip_i"] > other["clip_i"]


def test_of_the_background_only_what_lies_around_both_silhouettes_counts(judges: Judges, tmp_path: Path) -> None:
    drawn, stranger = SUBJECTS[0], SUBJECTS[1]
    assert "background_lpips" not in judged(work(tmp_path / "alone", drawn, [drawn.test] * 4), drawn, judges).scores[0]
    measured = replace(judges, lpips=psnr)
    copied = means(judged(work(tmp_path / "copy", drawn, [drawn.test] * 4), drawn, measured))
    own = means(judged(work(tmp_path / "own", drawn, [edit.truth for edit in drawn.edits]), drawn, measured))
    other = means(judged(work(tmp_path / "other", drawn, [edit.truth for edit in stranger.edits]), drawn, measured))
    assert copied["background_ssim"] == pytest.approx(1)
    assert copied["background_lpips"] == 60  # what psnr says of equal pictures
    assert own["background_ssim"] > 0.95 > 0.8 > other["background_ssim"]
    assert own["background_lpips"] > other["background_lpips"] + 10
