"""The last word of a class noun decides its category, unless a word says that it is a likeness."""

import pytest

from ledger.categories import category_of


@pytest.mark.parametrize(
    ("class_noun", "category"),
    [
        ("dog", "animal"), ("Golden Retriever", "animal"), ("cats", "animal"), ("guinea pig", "animal"),
        ("person", "person"), ("old man", "person"), ("Women", "person"), ("child", "person"),
        ("backpack", "object"), ("teapot", "object"), ("robot", "object"), ("dog plushie", "object"),
        ("stuffed dog", "object"), ("statue of a man", "object"), ("gizmo", "object"), ("", "object"),
    ],
)  # fmt: skip
def test_category_of(class_noun: str, category: str) -> None:
    assert category_of(class_noun) == category
