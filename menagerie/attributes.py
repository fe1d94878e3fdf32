"""What defines an image of the drawn world: identity x scene x action, each sampled from one generator.

An edit keeps the *identity*, does not touch the *scene*, and changes the *action*.
"""

from dataclasses import dataclass, replace

import numpy as np

ANIMALS = ("cat", "dog", "bear", "rabbit", "fox")
OBJECTS = ("backpack", "robot", "car", "teapot")
FACES = ("person",)
KINDS = {"animal": ANIMALS, "object": OBJECTS, "face": FACES}
KIND_OF = {noun: kind for kind, nouns in KINDS.items() for noun in nouns}

COLORS = ("red", "orange", "yellow", "green", "blue", "purple", "white", "brown")
PATTERNS = ("plain", "spotted", "striped", "patched", "freckled")
ACCESSORIES = ("none", "collar", "scarf", "bow", "glasses", "hat")
HAIR = ("short", "long", "curly")
SKIN = ("pale", "tan", "dark")
BACKGROUNDS = ("meadow", "beach", "desert", "snow", "night", "room")

ANIMAL_POSES = ("sitting", "standing", "lying", "jumping")
OBJECT_POSES = {"backpack": ("closed", "open"), "robot": ("arms down", "arms up"), "car": ("closed", "open"),
                "teapot": ("closed", "open")}  # fmt: skip
FACE_POSES = ("upright", "tilted")
POSES = (*ANIMAL_POSES, "closed", "open", "arms down", "arms up", *FACE_POSES)
HEADS = ("camera", "left", "right")
EXPRESSIONS = ("neutral", "smiling", "surprised", "asleep")

#: The attributes that the probe classifies, with their values. The label is -1 where a subject has no such attribute.
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "class_noun": (*ANIMALS, *OBJECTS, *FACES),
    "color": COLORS,
    "second_color": COLORS,
    "pattern": PATTERNS,
    "accessory": ACCESSORIES,
    "hair": HAIR,
    "skin": SKIN,
    "background": BACKGROUNDS,
    "pose": POSES,
    "head": HEADS,
    "expression": EXPRESSIONS,
}
IDENTITY_ATTRIBUTES = ("class_noun", "color", "second_color", "pattern", "accessory", "hair", "skin")
ACTION_ATTRIBUTES = ("pose", "head", "expression")


@dataclass(frozen=True)
class Identity:
    """One subject: attributes with names, and continuous ones in [-1, 1] that no caption names."""

    class_noun: str
    color: str
    second_color: str
    pattern: str
    accessory: str
    hair: str | None
    skin: str | None
    accessory_color: str
    head_size: float
    ear_size: float
    limb_length: float
    tint: tuple[float, float, float]
    pattern_seed: int

    @property
    def kind(self) -> str:
        return KIND_OF[self.class_noun]


@dataclass(frozen=True)
class Scene:
    """The background with its objects, and the subject's position, scale and side."""

    background: str
    horizon: float
    seed: int
    x: float
    scale: float
    side: int


@dataclass(frozen=True)
class Action:
    """The attributes that an edit changes: pose (or state), head direction (or viewpoint), and expression."""

    pose: str
    head: str
    expression: str


@dataclass(frozen=True)
class Drawing:
    """The description of one image of the world: `menagerie.draw` renders it."""

    identity: Identity
    scene: Scene
    action: Action

    def labels(self) -> dict[str, int]:
        """The index of each attribute's value in `ATTRIBUTES`, or -1 where the subject has no such attribute."""
        own = {**vars(self.identity), **vars(self.scene), **vars(self.action)}
        return {name: -1 if own[name] is None else values.index(own[name]) for name, values in ATTRIBUTES.items()}


def poses(class_noun: str) -> tuple[str, ...]:
    """The poses (for an object, states) of a class."""
    if class_noun in ANIMALS:
        return ANIMAL_POSES
    return FACE_POSES if class_noun in FACES else OBJECT_POSES[class_noun]


def _choice(rng: np.random.Generator, values: tuple[str, ...]) -> str:
    return values[int(rng.integers(len(values)))]


def sample_identity(rng: np.random.Generator, class_noun: str | None = None) -> Identity:
    """A subject of the given class. Without a class, kinds are weighted 55 : 30 : 15 (animals, objects, faces)."""
    if class_noun is None:
        chance = rng.random()
        class_noun = _choice(rng, ANIMALS if chance < 0.55 else OBJECTS if chance < 0.85 else FACES)
    hair: str | None = None
    skin: str | None = None
    color = _choice(rng, COLORS)
    second = _choice(rng, tuple(c for c in COLORS if c != color))
    if class_noun in FACES:
        pattern = _choice(rng, ("plain", "freckled"))
        accessory = _choice(rng, ("none", "glasses", "hat", "bow"))
        hair, skin = _choice(rng, HAIR), _choice(rng, SKIN)
    else:
        pattern = _choice(rng, ("plain", "spotted", "striped", "patched"))
        accessory = _choice(rng, ACCESSORIES if class_noun in ANIMALS else ("none", "bow", "glasses", "hat"))
    return Identity(
        class_noun, color, second, pattern, accessory, hair, skin,
        accessory_color=_choice(rng, tuple(c for c in COLORS if c not in (color, second))),
        head_size=rng.uniform(-1, 1), ear_size=rng.uniform(-1, 1), limb_length=rng.uniform(-1, 1),
        tint=(rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(-1, 1)),
        pattern_seed=int(rng.integers(2**31)),
    )  # fmt: skip


def sample_scene(rng: np.random.Generator, background: str | None = None) -> Scene:
    """A scene with the given background, or with a random one."""
    return Scene(
        background=background or _choice(rng, BACKGROUNDS),
        horizon=rng.uniform(0.5, 0.68),
        seed=int(rng.integers(2**31)),
        x=rng.uniform(-1, 1),
        scale=rng.uniform(0.88, 1.0),
        side=1 if rng.random() < 0.5 else -1,
    )


def sample_action(rng: np.random.Generator, class_noun: str) -> Action:
    """A random action of a class."""
    return Action(_choice(rng, poses(class_noun)), _choice(rng, HEADS), _choice(rng, EXPRESSIONS))


def sample_drawing(rng: np.random.Generator) -> Drawing:
    """A random image of the world: the models are trained and measured on these."""
    identity = sample_identity(rng)
    return Drawing(identity, sample_scene(rng), sample_action(rng, identity.class_noun))


def with_action(drawing: Drawing, **changes: str) -> Drawing:
    """The same subject and scene with some of the action changed: the true result of an edit."""
    return replace(drawing, action=replace(drawing.action, **changes))
