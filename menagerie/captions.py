"""Captions of drawings, and the vocabulary of the tokenizers.

Captions omit attributes and vary their order, so that prompts can name any subset. Some captions have a rare token
before the class noun. It carries no meaning, so that a prior can bind it to a subject.
"""

import re
from collections.abc import Mapping

import numpy as np

from menagerie.attributes import ATTRIBUTES, Action, Drawing, Identity, Scene, poses

TOKENS = ("sks", "zwx", "ohwx", "vtn")
PUNCTUATION = (",", ".")
_PLACES = {
    "meadow": ("in a meadow", "on a green meadow"),
    "beach": ("at the beach", "on a sandy beach"),
    "desert": ("in the desert", "in a dry desert"),
    "snow": ("in the snow", "on a snowy field"),
    "night": ("at night", "under the moon at night"),
    "room": ("in a room", "in a living room"),
}
_POSES = {
    "sitting": ("sitting", "sitting down"),
    "standing": ("standing", "standing up"),
    "lying": ("lying down", "lying on the ground"),
    "jumping": ("jumping", "jumping up"),
    "closed": ("closed", "that is closed"),
    "open": ("open", "that is open"),
    "arms down": ("with its arms down", "arms down"),
    "arms up": ("with its arms up", "arms up"),
    "upright": ("upright", "head upright"),
    "tilted": ("tilting the head", "head tilted"),
}
_HEADS = {
    "camera": ("looking at the camera", "facing the camera", "seen from the front"),
    "left": ("looking left", "facing left", "turned to the left"),
    "right": ("looking right", "facing right", "turned to the right"),
}
_EXPRESSIONS = {
    "neutral": ("with a neutral expression", "calm"),
    "smiling": ("smiling", "with a happy smile"),
    "surprised": ("surprised", "with a surprised look"),
    "asleep": ("with eyes closed", "eyes closed"),
}
_ACCESSORIES = {
    "collar": "wearing a collar",
    "scarf": "wearing a scarf",
    "bow": "wearing a bow",
    "glasses": "wearing glasses",
    "hat": "wearing a hat",
}
_FRAMES = ("a photo of", "a picture of", "an image of", "")
#: Words that users are likely to type, without a meaning in the drawn world.
_FILLERS = ("the is are its this that an of and to very now", "my one from side view toy small big pose head")


def _pick(rng: np.random.Generator, values: tuple[str, ...]) -> str:
    return values[int(rng.integers(len(values)))]


def noun_phrase(identity: Identity, rng: np.random.Generator, keep: float, token: str | None = None) -> str:
    """The subject in words. Each identifying attribute is named with probability `keep`."""
    named = [rng.random() < keep for _ in range(5)]
    adjectives = []
    if named[0] and identity.pattern != "plain":
        adjectives.append(identity.pattern)
    elif named[0] and rng.random() < 0.5:
        adjectives.append("plain")
    if identity.kind == "face":
        details = []
        hair = [identity.color] * named[1] + [str(identity.hair)] * named[2]
        if hair:
            details.append(f"with {' '.join(hair)} hair")
        if named[3]:
            adjectives.append(f"{identity.skin}-skinned".replace("-", " "))
        if rng.random() < keep:
            details.append(f"in a {identity.second_color} shirt")
    else:
        adjectives += [identity.color] * named[1]
        details = [f"with {identity.second_color} markings"] * named[2]
    if named[4] and identity.accessory != "none":
        details.append(_ACCESSORIES[identity.accessory])
    rng.shuffle(details)
    words = [*adjectives, *([token] if token else []), identity.class_noun, *details]
    return " ".join(words) if token and rng.random() < 0.5 else " ".join(["a", *words])


def action_clauses(action: Action, rng: np.random.Generator, keep: float = 1.0) -> list[str]:
    """The action in words, in a random order. Each part is named with probability `keep`."""
    clauses = [
        _pick(rng, _POSES[action.pose]),
        _pick(rng, _HEADS[action.head]),
        _pick(rng, _EXPRESSIONS[action.expression]),
    ]
    clauses = [clause for clause in clauses if rng.random() < keep]
    rng.shuffle(clauses)
    return clauses


def place(scene: Scene, rng: np.random.Generator) -> str:
    return _pick(rng, _PLACES[scene.background])


def caption(drawing: Drawing, rng: np.random.Generator, keep: float = 0.8) -> str:
    """A caption in natural words. Each attribute is named with probability `keep`."""
    token = _pick(rng, TOKENS) if rng.random() < 0.15 else None
    subject = noun_phrase(drawing.identity, rng, keep, token)
    clauses = action_clauses(drawing.action, rng, keep)
    if rng.random() < keep:
        clauses.insert(int(rng.integers(len(clauses) + 1)), place(drawing.scene, rng))
    return _join(_pick(rng, _FRAMES), subject, clauses, rng)


def _join(frame: str, subject: str, clauses: list[str], rng: np.random.Generator) -> str:
    head = f"{frame} {subject}".strip()
    if clauses and rng.random() < 0.5:
        head, clauses = f"{head} {clauses[0]}", clauses[1:]
    return ", ".join([head, *clauses])


def full_caption(drawing: Drawing) -> str:
    """The caption that names every attribute. It is always the same for the same drawing."""
    return caption(drawing, np.random.default_rng(0), keep=1.0)


def edit_prompt(drawing: Drawing, token: str) -> str:
    """A prompt as a user writes it: token, class, action and scene, and no identifying attribute."""
    action = drawing.action
    return (
        f"a photo of {token} {drawing.identity.class_noun} {_POSES[action.pose][0]}, "
        f"{_HEADS[action.head][0]}, {_EXPRESSIONS[action.expression][0]}, {_PLACES[drawing.scene.background][0]}"
    )


def describe_change(source: Action, target: Action) -> str:
    """The change of the action in words, as "sitting to standing, looking left to looking right"."""
    tables: dict[str, Mapping[str, tuple[str, ...]]] = {"pose": _POSES, "head": _HEADS, "expression": _EXPRESSIONS}
    values = [(table, getattr(source, name), getattr(target, name)) for name, table in tables.items()]
    return ", ".join(f"{table[old][0]} to {table[new][0]}" for table, old, new in values if old != new)


def class_prompt(drawing: Drawing) -> str:
    """`edit_prompt` for an image of the class: "a" in place of the token."""
    return edit_prompt(drawing, "a")


def parse_caption(caption: str) -> dict[str, set[str]]:
    """The values of pose, head, expression and background that a caption names. Several values of one contradict.

    Longer phrases are matched first and removed, because "closed" alone is a pose and "eyes closed" an expression.
    """
    tables: dict[str, Mapping[str, tuple[str, ...]]] = {
        "pose": _POSES,
        "head": _HEADS,
        "expression": _EXPRESSIONS,
        "background": _PLACES,
    }
    phrases = [(p, name, value) for name, table in tables.items() for value, forms in table.items() for p in forms]
    named: dict[str, set[str]] = {}
    for phrase, name, value in sorted(phrases, key=lambda row: -len(row[0])):
        caption, matches = re.subn(rf"\b{phrase}\b", " ", caption)
        if matches:
            named.setdefault(name, set()).add(value)
    return named


def action_phrases(class_noun: str) -> dict[str, dict[str, tuple[str, ...]]]:
    """For each action attribute, the phrases of each value that a class can take."""
    return {
        "pose": {pose: _POSES[pose] for pose in poses(class_noun)},
        "head": dict(_HEADS),
        "expression": dict(_EXPRESSIONS),
    }


def vocabulary() -> list[str]:
    """Every word that a caption or a prompt of the drawn world can contain, sorted."""
    phrases = [p for table in (_PLACES, _POSES, _HEADS, _EXPRESSIONS) for values in table.values() for p in values]
    phrases += [*_ACCESSORIES.values(), *_FRAMES, *TOKENS, *_FILLERS, "skinned hair with in a shirt markings"]
    phrases += [value for values in ATTRIBUTES.values() for value in values]
    return sorted({word for phrase in phrases for word in phrase.split()})
