"""The committed vision models recognise drawings. Bounds are below the measured values."""

import numpy as np
import pytest

from lipe_core.captioning import vlm
from lipe_core.metrics.features import load_clip, load_dinov2
from menagerie.attributes import sample_drawing
from menagerie.captions import place
from menagerie.subjects import GROUP_SIZE, action_variants, fresh, random_drawing, related_identities
from menagerie.vision_models import CAPTIONER, CLIP, DINOV2
from menagerie.vision_report import (
    caption_accuracy,
    caption_agreement,
    caption_drawings,
    direction_accuracy,
    subject_accuracy,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20261125)


def test_a_caption_agrees_only_if_it_names_the_drawn_value_alone() -> None:
    drawing = sample_drawing(np.random.default_rng(1))
    wrong = {"left": "looking right"}.get(drawing.action.head, "looking left")
    right = f"a photo of sks cat, {place(drawing.scene, np.random.default_rng(0))}"
    report = caption_agreement([drawing] * 2, [f"{right}, {wrong}", right])
    assert report.named == {"pose": 0, "head": 0.5, "expression": 0, "background": 1}
    assert (report.agreement["head"], report.agreement["background"]) == (0, 1)
    assert report.overall == pytest.approx(2 / 3)
    assert caption_agreement([drawing], [f"{right}, looking left, looking right"]).agreement["head"] == 0


def test_clip_finds_the_caption_and_the_edit_direction_of_an_image(rng: np.random.Generator) -> None:
    clip = load_clip(CLIP)
    drawings = [sample_drawing(rng) for _ in range(40)]
    variants = action_variants(rng, 25 * GROUP_SIZE)
    assert caption_accuracy(clip, drawings, len(drawings)) >= 0.95  # chance: 1 of 40
    assert caption_accuracy(clip, variants, GROUP_SIZE) >= 0.95  # chance: 1 of 4
    assert direction_accuracy(clip, list(fresh(28, 3))) >= 0.9  # chance: 1 of 3


def test_captions_name_the_drawn_values(rng: np.random.Generator) -> None:
    drawings = [sample_drawing(rng) for _ in range(20)]
    report = caption_agreement(drawings, caption_drawings(vlm.load(CAPTIONER), drawings))
    assert min(report.named.values()) >= 0.95
    assert report.overall >= 0.95


def test_dinov2_separates_a_subject_from_others_and_from_related_ones(rng: np.random.Generator) -> None:
    dinov2 = load_dinov2(DINOV2)
    others = [(s.test, s.references[0]) for s in fresh(28, 3)]
    related = [(random_drawing(rng, one), random_drawing(rng, one)) for one in related_identities(rng, 10 * GROUP_SIZE)]
    assert subject_accuracy(dinov2, others, len(others)) >= 0.9  # chance: 1 of 28
    assert subject_accuracy(dinov2, related, GROUP_SIZE) >= 0.8  # chance: 1 of 4
