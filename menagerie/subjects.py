"""Subjects to personalise, with references, a test image, and edits with their true results; and groups of drawings."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np

from menagerie.attributes import (
    ANIMALS,
    EXPRESSIONS,
    FACES,
    HEADS,
    OBJECTS,
    Action,
    Drawing,
    Identity,
    poses,
    sample_action,
    sample_drawing,
    sample_identity,
    sample_scene,
    with_action,
)

TOKEN = "sks"  # noqa: S105 - a rare word of the vocabulary, no secret
EDITS = ("pose", "head", "expression", "combination")
_BENCHMARK_SEED = 240617236
_BENCHMARK_NOUNS = (*(2 * ANIMALS), "cat", "dog", *(2 * OBJECTS), *(8 * FACES))
#: Fresh subjects cycle through these kinds, so that any number has about the benchmark's proportions.
_FRESH_KINDS = (ANIMALS, OBJECTS, ANIMALS, FACES, ANIMALS, OBJECTS, FACES)
GROUP_SIZE = 4
"""Drawings per group in `action_variants`, and identities per group in `related_identities`."""


@dataclass(frozen=True)
class DrawnEdit:
    """One edit of a test image: the attributes that it changes, and its true result."""

    name: str
    changed: tuple[str, ...]
    truth: Drawing


@dataclass(frozen=True)
class DrawnSubject:
    """One identity in several images: the references, the test image to edit, and its edits."""

    name: str
    identity: Identity
    references: tuple[Drawing, ...]
    test: Drawing
    edits: tuple[DrawnEdit, ...]


def benchmark() -> list[DrawnSubject]:
    """The 28 subjects of the benchmark: 12 animals, 8 objects and 8 faces. Every call returns the same."""
    return [
        _subject(np.random.default_rng([_BENCHMARK_SEED, k]), f"{noun}-{k:02d}", noun)
        for k, noun in enumerate(_BENCHMARK_NOUNS)
    ]


def fresh(count: int, seed: int) -> Iterator[DrawnSubject]:
    """`count` subjects, a function of `seed` alone. Their kinds have the proportions of the benchmark."""
    for k in range(count):
        rng = np.random.default_rng([seed, k])
        nouns = _FRESH_KINDS[k % len(_FRESH_KINDS)]
        noun = nouns[int(rng.integers(len(nouns)))]
        yield _subject(rng, f"{noun}-{seed}-{k:02d}", noun)


def _subject(rng: np.random.Generator, name: str, noun: str, references: int = 4) -> DrawnSubject:
    identity = sample_identity(rng, noun)
    spread = [_spread(rng, values, references) for values in (poses(noun), HEADS, EXPRESSIONS)]
    actions = [Action(*named) for named in zip(*spread, strict=True)]
    drawings = tuple(Drawing(identity, sample_scene(rng), action) for action in actions)
    test = Drawing(identity, sample_scene(rng), sample_action(rng, noun))
    return DrawnSubject(name, identity, drawings, test, tuple(_edits(rng, test)))


def _spread(rng: np.random.Generator, values: tuple[str, ...], count: int) -> list[str]:
    """`count` values in a random order, each about equally often: users, too, are asked for varied references."""
    repeated = [value for _ in range(-(-count // len(values))) for value in rng.permutation(values)]
    return [str(value) for value in rng.permutation(repeated[:count])]


def _edits(rng: np.random.Generator, test: Drawing) -> Iterator[DrawnEdit]:
    choices = {"pose": poses(test.identity.class_noun), "head": HEADS, "expression": EXPRESSIONS}
    for name, changed in zip(EDITS, (("pose",), ("head",), ("expression",), ("pose", "head")), strict=True):
        new = {}
        for attribute in changed:
            others = [v for v in choices[attribute] if v != getattr(test.action, attribute)]
            new[attribute] = others[int(rng.integers(len(others)))]
        yield DrawnEdit(name, changed, with_action(test, **new))


def random_drawing(rng: np.random.Generator, identity: Identity) -> Drawing:
    """The subject in a random scene with a random action."""
    return Drawing(identity, sample_scene(rng), sample_action(rng, identity.class_noun))


def related_identities(rng: np.random.Generator, count: int) -> list[Identity]:
    """`count` identities in groups of `GROUP_SIZE` that are related to each other."""
    identities: list[Identity] = []
    firsts = [sample_identity(rng) for _ in range(-(-count // GROUP_SIZE))]
    for first in firsts:
        identities += [first, *(related_identity(rng, first) for _ in range(GROUP_SIZE - 1))]
    return identities[:count]


def related_identity(rng: np.random.Generator, identity: Identity) -> Identity:
    """Another identity of the same class: about half of its attributes are those of `identity`, the others random."""
    while True:
        other = sample_identity(rng, identity.class_noun)
        taken = {f.name: getattr(other, f.name) for f in fields(Identity) if rng.random() < 0.5}
        mixed = replace(identity, **taken)
        if mixed != identity and mixed.color != mixed.second_color:
            return mixed


def action_variants(rng: np.random.Generator, count: int) -> list[Drawing]:
    """`count` drawings in groups of `GROUP_SIZE`: each group has one subject and one scene, and different actions."""
    drawings: list[Drawing] = []
    while len(drawings) < count:
        first = sample_drawing(rng)
        group = {first.action: first}
        while len(group) < GROUP_SIZE:
            action = sample_action(rng, first.identity.class_noun)
            group[action] = replace(first, action=action)
        drawings += group.values()
    return drawings[:count]
