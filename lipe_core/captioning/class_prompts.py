"""The built-in bank of class prompts: every combination of an action, a view, an expression and a place.

LIPE, section 3.2 (https://arxiv.org/abs/2406.17236), asks for diverse, action-focused prompts for the regularization
set. `prompt_writer.py` has a language model write them; the bank needs none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import torch

from lipe_core.randomness import stream
from lipe_core.subject import Category

_ACTIONS: dict[Category, tuple[str, ...]] = {
    "animal": ("sitting", "standing", "lying down", "jumping", "running", "walking", "sleeping", "eating"),
    "object": ("closed", "open", "with its arms up", "with its arms down", "lying on its side", "upside down"),
    "person": ("upright", "tilting the head", "talking", "waving", "walking", "sitting"),
}
_EXPRESSIONS = ("with a neutral expression", "smiling", "surprised", "with eyes closed", "with its mouth open")
_VIEWS = ("looking at the camera", "looking left", "looking right", "seen from the side", "seen from behind")
_PLACES = ("in a meadow", "at the beach", "in the desert", "in the snow", "at night", "in a living room")


@dataclass(frozen=True)
class ClassPrompts:
    """Prompts for images of a class; `writer` is the language model that wrote them, None for the built-in bank."""

    prompts: tuple[str, ...]
    writer: str | None = None


PromptWriter = Callable[[str, int], ClassPrompts | None]
"""(class noun, count) -> that many prompts, or None where none could be written."""


def bank_prompts(
    class_noun: str,
    count: int,
    seed: int,
    category: Category = "animal",
    is_known: Callable[[str], bool] = lambda phrase: True,
) -> ClassPrompts:
    """`count` action prompts for the class in an order of `seed`; none repeats before the bank is used up.

    A phrase that is not `is_known` is left out while others of its kind remain: the base model would generate
    anything for it.
    """
    banks = [
        [phrase for phrase in bank if is_known(phrase)] or list(bank)
        for bank in (_ACTIONS[category], _VIEWS, _EXPRESSIONS, _PLACES)
    ]
    prompts = [f"a photo of a {class_noun} {', '.join(phrases)}" for phrases in product(*banks)]
    order = torch.randperm(len(prompts), generator=stream("class prompts", seed)).tolist()
    return ClassPrompts(tuple(prompts[order[k % len(order)]] for k in range(count)))
