"""Images in memory, counted by their size."""

import weakref
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image


def count_images(monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]) -> Callable[[], int]:
    """A function that counts the PIL images of this (width, height) that were made since and are still alive."""
    made = list[weakref.ref[Image.Image]]()
    init = Image.Image.__init__

    def watched(image: Image.Image, *arguments: Any, **options: Any) -> None:
        init(image, *arguments, **options)
        made.append(weakref.ref(image))

    monkeypatch.setattr(Image.Image, "__init__", watched)
    return lambda: sum(image.size == size for reference in list(made) if (image := reference()) is not None)
