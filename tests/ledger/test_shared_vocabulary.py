"""Packages that cannot import each other define the same names and patterns: ledger, client and lipe_core."""

import re
from typing import get_args

import pytest

import lipe_client.models
import lipe_core.subject
from ledger import fetches
from ledger.categories import Category
from ledger.keys import SCOPES
from ledger.notify import QUEUES
from ledger.states import JOB_KINDS, TERMINAL, DeliveryState, JobKind, State
from ledger.subjects import CLASS_NOUN_PATTERN, TOKEN_PATTERN
from ledger.webhooks import ENDS, EVENT_TYPES, TASK
from lipe_core.subject import Subject


def test_the_categories_agree() -> None:
    assert get_args(Category) == get_args(lipe_client.models.Category) == get_args(lipe_core.subject.Category)


def test_the_clients_states_are_the_ledgers() -> None:
    assert list(get_args(lipe_client.models.Status)) == [str(state) for state in State]
    assert lipe_client.models.TERMINAL_STATUSES == TERMINAL
    assert get_args(lipe_client.models.Kind) == get_args(JobKind) == JOB_KINDS
    assert get_args(lipe_client.models.DeliveryState) == get_args(DeliveryState)


def test_the_clients_scopes_are_the_ledgers() -> None:
    assert get_args(lipe_client.models.Scope) == SCOPES


def test_every_end_of_a_job_is_a_webhook_event() -> None:
    ends = [state for state in State if state in TERMINAL]
    extra = {"prior": ["started"], "edit": ["started", "output"], "captions": ["started"], "mask": ["started"]}
    assert list(EVENT_TYPES) == [f"{kind}.{name}" for kind in JOB_KINDS for name in [*extra[kind], *ends]]
    assert {f"{kind}.{state}" for kind in JOB_KINDS for state in ends} == ENDS


def test_every_kind_of_job_has_a_task() -> None:
    assert set(QUEUES) == {f"lipe.{kind}" for kind in JOB_KINDS} | {TASK, fetches.TASK}


NOUNS = [
    "dog",
    "x",
    "d\u00f6g",
    "guinea pig",
    "dog's toy",
    "well-known",
    "a" * 63,
    "a" * 64,
    "",
    "-dog",
    "dog!",
    "a\nb",
]
TOKENS = ["sks", "ab", "a", "a" * 32, "a" * 33, "", "two words", "s-k", "z\u00e9b"]


@pytest.mark.parametrize(("noun", "token"), [*((noun, "sks") for noun in NOUNS), *(("dog", token) for token in TOKENS)])
def test_the_core_accepts_the_same_subjects(noun: str, token: str) -> None:
    expected = re.search(CLASS_NOUN_PATTERN, noun) is not None and re.search(TOKEN_PATTERN, token) is not None
    try:
        Subject(token, noun)
    except ValueError:
        is_accepted = False
    else:
        is_accepted = True
    assert is_accepted == expected
