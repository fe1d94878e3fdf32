"""The damage and the pairs that train the wholeness network."""

import numpy as np

from menagerie import damage
from menagerie.edit_examples import examples, prepare
from menagerie.subjects import fresh


def test_half_of_the_examples_are_damaged_and_all_follow_from_the_seed() -> None:
    first, again = list(examples(3, 40)), list(examples(3, 40))
    assert sum(bool(one.damaged.any()) for one in first) == 20
    assert all(np.array_equal(a.image, b.image) for a, b in zip(first, again, strict=True))


def test_every_damage_is_seen_on_a_changed_pose() -> None:
    subject = next(fresh(1, seed=5))
    edit = prepare(np.random.default_rng(0), subject.test, subject.edits[0].truth)
    for make in damage.DAMAGES:
        changed = [np.abs(make(np.random.default_rng(k), edit) - edit.whole).max() for k in range(3)]
        assert max(changed) > 48, make.__name__


def test_a_whole_example_is_near_the_true_result() -> None:
    whole = [one for one in examples(4, 40) if not one.damaged.any()]
    assert np.mean([np.abs(one.image.astype(int) - one.truth).mean() for one in whole]) < 10
