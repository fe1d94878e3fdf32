"""Subjects of the benchmark, fresh subjects, and groups of drawings."""

import numpy as np

from menagerie.attributes import KIND_OF, Drawing
from menagerie.subjects import EDITS, GROUP_SIZE, action_variants, benchmark, fresh, random_drawing, related_identities


def test_the_benchmark_has_28_subjects_of_three_kinds() -> None:
    subjects = benchmark()
    assert len(subjects) == len({subject.name for subject in subjects}) == 28
    assert {subject.identity.kind for subject in subjects} == {"animal", "object", "face"}
    assert subjects == benchmark()


def test_every_subject_has_varied_references_and_four_edits_with_their_truth() -> None:
    for subject in [*benchmark(), *fresh(7, seed=5)]:
        assert 3 <= len(subject.references) <= 5
        assert all(drawing.identity == subject.identity for drawing in subject.references)
        assert len({drawing.scene for drawing in subject.references} | {subject.test.scene}) == 5
        assert tuple(edit.name for edit in subject.edits) == EDITS
        for edit in subject.edits:
            before, after = subject.test.labels(), edit.truth.labels()
            assert {name for name in before if before[name] != after[name]} == set(edit.changed)


def test_fresh_subjects_are_a_function_of_the_seed() -> None:
    assert list(fresh(5, seed=1)) == list(fresh(7, seed=1))[:5]
    assert list(fresh(5, seed=1)) != list(fresh(5, seed=2))
    assert {KIND_OF[subject.identity.class_noun] for subject in fresh(12, seed=1)} == {"animal", "object", "face"}


def test_groups_share_subject_and_scene_and_never_an_action() -> None:
    drawings = action_variants(np.random.default_rng(0), 5 * GROUP_SIZE)
    assert len(drawings) == 5 * GROUP_SIZE
    for start in range(0, len(drawings), GROUP_SIZE):
        group = drawings[start : start + GROUP_SIZE]
        assert len({(d.identity, d.scene) for d in group}) == 1
        assert len({d.action for d in group}) == GROUP_SIZE
    assert len({d.identity for d in drawings}) == 5


def test_related_identities_have_one_class_and_differ() -> None:
    rng = np.random.default_rng(20261125)
    subjects = related_identities(rng, 10 * GROUP_SIZE)
    for start in range(0, len(subjects), GROUP_SIZE):
        group = subjects[start : start + GROUP_SIZE]
        assert len({one.class_noun for one in group}) == 1
        assert len(set(group)) == GROUP_SIZE
    first, second = (random_drawing(rng, subjects[0]) for _ in range(2))
    assert isinstance(first, Drawing)
    assert first.identity == second.identity
    assert first.scene != second.scene
