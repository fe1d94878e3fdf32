"""Responses become exceptions, also without a problem document."""

import httpx
import pytest

from lipe_client import Problem
from lipe_client.problems import raise_for_problem


@pytest.mark.parametrize(
    ("status", "after", "retryable", "seconds"),
    [
        (429, "7", True, 7.0),
        (503, "Fri, 01 Jan 2100 00:00:00 GMT", True, 1e9),
        (502, "soon", True, 0.0),
        (403, "", False, 0.0),
    ],
)
def test_a_response_without_a_problem_document_becomes_a_problem(
    status: int, after: str, retryable: bool, seconds: float
) -> None:
    with pytest.raises(Problem) as caught:
        raise_for_problem(httpx.Response(status, text="[]", headers={"Retry-After": after}))
    assert (caught.value.code, caught.value.retryable) == ("unknown", retryable)
    assert (caught.value.retry_after > seconds / 2) if seconds else caught.value.retry_after == 0
