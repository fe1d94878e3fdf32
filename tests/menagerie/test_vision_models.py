"""The committed judges, loaded as public ones are, know the drawn world; bounds lie below what was measured."""

import numpy as np
import pytest

from lipe_core.captioning import vlm
from lipe_core.metrics.features import load_clip, load_dinov2
from menagerie.attributes import Drawing, sample_drawing
from menagerie.augment import ALIKE, alike_but_for_the_action
from menagerie.captions import place
from menagerie.stages.dinov2 import anywhere, relatives
from menagerie.subjects import fresh
from menagerie.vision_models import CAPTIONER, CLIP, DINOV2
from menagerie.vision_report import (
    caption_agreement,
    describe,
    own_caption_first,
    own_direction_first,
    own_subject_first,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20261125)


def test_a_caption_agrees_only_if_it_says_the_drawn_value_and_no_other() -> None:
    drawing = sample_drawing(np.random.default_rng(1))
    wrong = {"left": "looking right"}.get(drawing.action.head, "looking left")
    right = f"a photo of sks cat, {place(drawing.scene, np.random.default_rng(0))}"
    report = caption_agreement([drawing] * 2, [f"{right}, {wrong}", right])
    assert report.named == {"pose": 0, "head": 0.5, "expression": 0, "background": 1}
    assert (report.agreement["head"], report.agreement["background"]) == (0, 1)
    assert report.overall == pytest.approx(2 / 3)
    assert caption_agreement([drawing], [f"{right}, looking left, looking right"]).agreement["head"] == 0


def test_clip_ranks_a_pictures_own_caption_first(rng: np.random.Generator) -> None:
    clip = load_clip(CLIP)
    drawings = [sample_drawing(rng) for _ in range(40)]
    acting = alike_but_for_the_action(rng, 25 * ALIKE)
    assert own_caption_first(clip, drawings, len(drawings)) >= 0.95  # chance: 1 of 40
    assert own_caption_first(clip, acting, ALIKE) >= 0.95  # chance: 1 of 4
    assert own_direction_first(clip, list(fresh(28, 3))) >= 0.9  # chance: 1 of 3


def test_the_captioner_says_what_was_drawn(rng: np.random.Generator) -> None:
    drawings = [sample_drawing(rng) for _ in range(20)]
    report = caption_agreement(drawings, describe(vlm.load(CAPTIONER), drawings))
    assert min(report.named.values()) >= 0.95
    assert report.overall >= 0.95


def test_dinov2_puts_a_subject_nearer_to_itself_than_to_others_and_to_its_relatives(rng: np.random.Generator) -> None:
    dinov2 = load_dinov2(DINOV2)
    strangers = [(s.test, s.references[0]) for s in fresh(28, 3)]
    families = [(anywhere(rng, one), anywhere(rng, one)) for one in relatives(rng, 10 * ALIKE)]
    assert own_subject_first(dinov2, strangers, len(strangers)) >= 0.9  # chance: 1 of 28
    assert own_subject_first(dinov2, families, ALIKE) >= 0.8  # chance: 1 of 4


def test_families_are_of_one_class_and_no_two_members_the_same(rng: np.random.Generator) -> None:
    subjects = relatives(rng, 10 * ALIKE)
    for start in range(0, len(subjects), ALIKE):
        family = subjects[start : start + ALIKE]
        assert len({one.class_noun for one in family}) == 1
        assert len(set(family)) == ALIKE
    first, second = (anywhere(rng, subjects[0]) for _ in range(2))
    assert isinstance(first, Drawing)
    assert first.identity == second.identity
    assert first.scene != second.scene
