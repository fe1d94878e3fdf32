"""Lists: every row once, newest first, also if rows are added meanwhile."""

from base64 import urlsafe_b64encode
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient


def test_pages_hold_every_row_once(api: TestClient, upload: Callable[..., str]) -> None:
    made = [upload("red", (96, 96 + place)) for place in range(5)]
    first = api.get("/v1/images", params={"limit": 2}).json()
    assert [row["id"] for row in first["data"]] == [made[4], made[3]]
    assert first["has_more"]
    upload("blue")  # newer than the first page: it must not shift the second
    second = api.get("/v1/images", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    third = api.get("/v1/images", params={"limit": 2, "cursor": second["next_cursor"]}).json()
    assert [row["id"] for row in second["data"] + third["data"]] == made[2::-1]
    assert (third["has_more"], third["next_cursor"]) == (False, None)


INVALID = (
    b"[]",
    b"1",
    b"null",
    b'["x",1]',
    b'["2020-01-01T00:00:00","img_1"]',
    b'["2020-01-01T00:00:00+00:00",1]',
    b'["2020-01-01T00:00:00+00:00","a\\u0000"]',
)


@pytest.mark.parametrize("cursor", ["", "x", "!!!", "é", *(urlsafe_b64encode(content).decode() for content in INVALID)])
def test_an_invalid_cursor_is_refused(api: TestClient, cursor: str) -> None:
    answer = api.get("/v1/images", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["param"]) == (422, "cursor")


@pytest.mark.parametrize("limit", [0, 101, -1, "x"])
def test_the_page_size_is_limited(api: TestClient, limit: object) -> None:
    assert api.get("/v1/images", params={"limit": str(limit)}).status_code == 422
