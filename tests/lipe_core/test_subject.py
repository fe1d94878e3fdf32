import pytest

from lipe_core.errors import InvalidSubject
from lipe_core.subject import Subject


def test_phrase_names_token_and_class() -> None:
    assert Subject("sks", "dog").phrase == "sks dog"


@pytest.mark.parametrize(("token", "noun"), [("dog", "dog"), ("", "dog"), ("s k", "dog"), ("sks", ""), ("sks", " dog")])
def test_invalid_names_are_refused(token: str, noun: str) -> None:
    with pytest.raises(InvalidSubject):
        Subject(token, noun)
