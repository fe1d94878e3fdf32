"""Lists by status, metadata and time: exactly the matching rows, page by page, and none of another project."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from ledger import attempts
from ledger.database import UnitOfWork

Work = Callable[..., None]
LISTS: dict[str, set[str]] = {
    "/v1/images": {"created_after", "created_before"},
    "/v1/subjects": {"created_after", "created_before", "metadata"},
    "/v1/subjects/{subject_id}/priors": {"created_after", "created_before", "metadata", "status"},
    "/v1/edits": {"created_after", "created_before", "metadata", "status"},
    "/v1/jobs": {"created_after", "created_before", "metadata", "status", "kind"},
    "/v1/keys": {"created_after", "created_before"},
    "/v1/decisions": {"created_after", "created_before", "concerning"},
    "/v1/models": set(),
    "/v1/workers": set(),
    "/v1/studies": {"created_after", "created_before"},
    "/v1/webhook-endpoints": {"created_after", "created_before"},
    "/v1/webhook-deliveries": {"created_after", "created_before", "endpoint_id", "job_id", "state"},
}


def test_openapi_names_every_filter(app: FastAPI) -> None:
    paths = app.openapi()["paths"]
    described = {
        path: {one["name"]: one for one in methods["get"].get("parameters", ()) if one["in"] == "query"}
        for path, methods in paths.items()
        if "get" in methods and methods["get"]["operationId"].startswith("list_")
    }
    assert {path: set(named) - {"limit", "cursor"} for path, named in described.items()} == LISTS
    metadata = described["/v1/jobs"]["metadata"]
    assert (metadata["style"], metadata["explode"], metadata["required"]) == ("deepObject", True, False)
    assert all(parameter["description"] for named in described.values() for parameter in named.values())


def test_jobs_priors_and_edits_by_status(
    api: TestClient, subject: dict[str, Any], upload: Callable[..., str], work: Work, begin: UnitOfWork
) -> None:
    priors = f"/v1/subjects/{subject['id']}/priors"
    learned, canceled, waiting = (api.post(priors).raise_for_status().json() for _ in range(3))
    work(learned["id"])
    api.post(canceled["urls"]["cancel"]).raise_for_status()
    payload = {"subject_id": subject["id"], "image_id": upload("white"), "prompt": "sks dog asleep"}
    failed, edited = (api.post("/v1/edits", json=payload).raise_for_status().json() for _ in range(2))
    with begin() as session:
        claim = attempts.claim(session, failed["id"], "worker-1", lease_seconds=60)
        assert claim
        attempts.finish_failed(session, claim, "gpu_out_of_memory", "too large", {})
    assert ids(api, "/v1/jobs", status="queued") == [edited["id"], waiting["id"]]
    assert ids(api, "/v1/jobs", status="queued", kind="edit") == [edited["id"]]
    assert ids(api, priors, status="succeeded") == [learned["prior_id"]]
    assert ids(api, priors, status="canceled") == [canceled["prior_id"]]
    assert ids(api, "/v1/edits", status="failed") == [failed["edit_id"]]
    retried = api.post(failed["urls"]["retry"]).raise_for_status().json()
    assert ids(api, "/v1/edits", status="failed") == []  # its newest job is queued
    assert ids(api, "/v1/edits", status="queued") == [edited["edit_id"], retried["edit_id"]]
    assert ids(api, "/v1/jobs", status="failed") == [failed["id"]]


def test_by_metadata(
    api: TestClient, stranger: TestClient, subject: dict[str, Any], upload: Callable[..., str], prior: str
) -> None:
    priors = f"/v1/subjects/{subject['id']}/priors"
    image = upload("white")

    def edit(**metadata: str) -> Any:
        payload = {"prior_id": prior, "image_id": image, "prompt": "sks dog asleep", "metadata": metadata}
        return api.post("/v1/edits", json=payload).raise_for_status().json()

    one, two = edit(order="7", shop="a b&c"), edit(order="7", shop="[x]")
    training = api.post(priors, json={"metadata": {"order": "8"}}).raise_for_status().json()
    assert ids(api, "/v1/edits", **{"metadata[order]": "7"}) == [two["edit_id"], one["edit_id"]]
    assert ids(api, "/v1/edits", **{"metadata[order]": "7", "metadata[shop]": "a b&c"}) == [one["edit_id"]]
    assert ids(api, "/v1/jobs", **{"metadata[shop]": "[x]", "status": "queued"}) == [two["id"]]
    assert ids(api, "/v1/jobs", **{"metadata[order]": "70"}) == []
    assert ids(api, "/v1/jobs", **{"metadata[Order]": "7"}) == []
    assert ids(api, priors, **{"metadata[order]": "8"}) == [training["prior_id"]]
    assert ids(stranger, "/v1/jobs", **{"metadata[order]": "7"}) == []
    assert ids(stranger, "/v1/edits", **{"metadata[order]": "7", "status": "queued"}) == []


def test_subjects_by_metadata_with_odd_keys(
    api: TestClient, subject: dict[str, Any], upload: Callable[..., str]
) -> None:
    references = [reference["image_id"] for reference in subject["references"]]
    pairs = {"a]b[": "ü%_'\"", "order": ""}
    payload = {"name": "Kit", "class_noun": "cat", "references": references, "metadata": pairs}
    kit = api.post("/v1/subjects", json=payload).raise_for_status().json()
    assert ids(api, "/v1/subjects", **{f"metadata[{key}]": value for key, value in pairs.items()}) == [kit["id"]]
    assert ids(api, "/v1/subjects") == [kit["id"], subject["id"]]


def test_a_time_range_includes_its_start_and_excludes_its_end(api: TestClient, upload: Callable[..., str]) -> None:
    made = [upload("red", (96, 96 + place)) for place in range(4)]
    moments = {row["id"]: row["created_at"] for row in api.get("/v1/images").json()["data"]}
    times = [moments[image] for image in made]
    assert ids(api, "/v1/images", created_after=times[1], created_before=times[3]) == [made[2], made[1]]
    assert ids(api, "/v1/images", created_after=times[3]) == [made[3]]
    assert ids(api, "/v1/images", created_before=times[0]) == []
    elsewhere = (datetime.fromisoformat(times[1]) + timedelta(hours=2)).replace(tzinfo=None).isoformat() + "+02:00"
    assert ids(api, "/v1/images", created_after=elsewhere) == made[:0:-1]
    for edge in ("0001-01-01T00:00:00+14:00", "0001-01-01t00:00:00z"):
        assert len(ids(api, "/v1/images", created_after=edge)) == 4
    assert len(ids(api, "/v1/images", created_before="9999-12-31T23:59:59.999999-14:00")) == 4


def test_pages_of_a_filtered_list_hold_every_row_once(
    api: TestClient, subject: dict[str, Any], upload: Callable[..., str], prior: str
) -> None:
    image = upload("white")
    made = []
    for place in range(7):
        payload = {"prior_id": prior, "image_id": image, "prompt": "sks dog", "metadata": {"even": str(place % 2 == 0)}}
        made.append(api.post("/v1/edits", json=payload).raise_for_status().json())
    for path, name in (("/v1/edits", "edit_id"), ("/v1/jobs", "id")):
        wanted = {"metadata[even]": "True", "status": "queued", "limit": "2"}
        page = api.get(path, params=wanted).raise_for_status().json()
        seen = [row["id"] for row in page["data"]]
        while page["has_more"]:
            page = api.get(path, params=wanted | {"cursor": page["next_cursor"]}).raise_for_status().json()
            seen += [row["id"] for row in page["data"]]
        assert seen == [job[name] for job in made[::-2]]


@pytest.mark.parametrize(
    ("path", "query", "param"),
    [
        ("/v1/jobs", {"status": "done"}, "status"),
        ("/v1/edits", {"status": ""}, "status"),
        ("/v1/images", {"created_after": "yesterday"}, "created_after"),
        ("/v1/images", {"created_after": "2026-01-01T00:00:00"}, "created_after"),
        ("/v1/images", {"created_before": "2026-13-01T00:00:00Z"}, "created_before"),
        ("/v1/images", {"created_before": "1700000000"}, "created_before"),
        ("/v1/images", {"created_before": "2026-01-01T00:00:00 02:00"}, "created_before"),
        (
            "/v1/images",
            {"created_after": "2026-01-01T00:00:00Z", "created_before": "2026-01-01T02:00:00+02:00"},
            "created_before",
        ),
        ("/v1/jobs", {"metadata": "7"}, "metadata"),
        ("/v1/jobs", {"metadata[order": "7"}, "metadata[order"),
        ("/v1/jobs", {"metadata[]": "7"}, "metadata[]"),
        ("/v1/jobs", {f"metadata[{'k' * 65}]": "7"}, f"metadata[{'k' * 65}]"),
        ("/v1/jobs", {"metadata[order]": "7" * 513}, "metadata[order]"),
        ("/v1/jobs", {"metadata[order]": "\0"}, "metadata[order]"),
        ("/v1/jobs", {"metadata[order]": ["7", "8"]}, "metadata[order]"),
        ("/v1/subjects", {f"metadata[{place}]": "7" for place in range(17)}, "metadata"),
    ],
)
def test_an_invalid_filter_is_refused(api: TestClient, path: str, query: dict[str, Any], param: str) -> None:
    answer = api.get(path, params=query)
    body = answer.json()
    assert (answer.status_code, body["code"], body["param"]) == (422, "invalid_request", param), body
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(body["detail"]) > 10


def ids(api: TestClient, path: str, **query: str) -> list[str]:
    return [row["id"] for row in api.get(path, params=query).raise_for_status().json()["data"]]
