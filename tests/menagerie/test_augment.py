import numpy as np

from menagerie.attributes import sample_drawing
from menagerie.augment import ALIKE, alike_but_for_the_action, views
from menagerie.draw import mask, render
from menagerie.pool import to_pictures


def test_groups_share_subject_and_scene_and_never_an_action() -> None:
    drawings = alike_but_for_the_action(np.random.default_rng(0), 5 * ALIKE)
    assert len(drawings) == 5 * ALIKE
    for start in range(0, len(drawings), ALIKE):
        group = drawings[start : start + ALIKE]
        assert len({(d.identity, d.scene) for d in group}) == 1
        assert len({d.action for d in group}) == ALIKE
    assert len({d.identity for d in drawings}) == 5


def test_whole_views_are_the_drawings_but_for_their_softness() -> None:
    drawings = [sample_drawing(np.random.default_rng(k)) for k in range(12)]
    seen = to_pictures(views(np.random.default_rng(0), drawings, 64, cut=0.0)).astype(float)
    drawn = np.stack([render(drawing, 64) for drawing in drawings]).astype(float)
    assert 0 < np.abs(seen - drawn).mean() < 15
    assert np.abs(seen - drawn[::-1]).mean() > 30


def test_cut_views_show_the_subject_larger() -> None:
    drawing = sample_drawing(np.random.default_rng(3))
    share = mask(drawing).mean()
    whole, cut = (views(np.random.default_rng(1), [drawing] * 3, 128, cut=c) for c in (0.0, 1.0))
    assert share < 0.6
    assert whole.shape == cut.shape == (3, 3, 128, 128)
    assert (whole - cut).abs().mean() > 0.05
    assert not np.array_equal(*to_pictures(cut[1:]))  # each has a margin of its own
