"""Snapshots of a prior: listed with their scores, chosen, and refused in words."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from ledger import priors
from ledger.database import UnitOfWork
from ledger.models import Project
from tests.support.api_fixtures import Refuse


def facts(step: int, identity: float, *, is_recommended: bool = False) -> dict[str, Any]:
    return {"step": step, "identity": identity, "flexibility": 0.9, "is_recommended": is_recommended}


FILES = [
    ("adapter", facts(4, 0.5)),
    ("manifest", {"step": 4}),
    ("snapshot_manifest", {"step": 2}),
    ("snapshot", facts(2, 0.49, is_recommended=True)),
    ("preview", {"step": 2, "prompt": "sks dog"}),
]


@pytest.fixture
def with_snapshots(api: TestClient, subject: dict[str, Any], work: Callable[..., None]) -> str:
    """A ready prior with snapshots of the steps 2 and 4."""
    job = api.post(f"/v1/subjects/{subject['id']}/priors").raise_for_status().json()
    work(job["id"], FILES)
    return str(job["prior_id"])


def roles(prior: dict[str, Any]) -> dict[str, Any]:
    return {artefact["role"]: artefact["details"]["step"] for artefact in prior["artefacts"]}


def test_another_snapshot_is_chosen_and_the_choice_is_undone(
    api: TestClient, with_snapshots: str, begin: UnitOfWork, project: Project, audited: None
) -> None:
    path = f"/v1/priors/{with_snapshots}"
    before = api.get(path).json()
    early, last = before["snapshots"]
    assert [one["step"] for one in (early, last)] == [2, 4]
    assert (early["is_recommended"], early["is_chosen"]) == (True, False)
    assert (last["is_recommended"], last["is_chosen"]) == (False, True)
    assert early["preview"]["role"] == "preview"
    assert early["preview"]["url"]
    assert last["preview"] is None
    assert roles(before) == {"adapter": 4, "manifest": 4, "snapshot": 2, "snapshot_manifest": 2, "preview": 2}
    chosen = api.post(f"{path}/choose", json={"step": 2}).raise_for_status().json()
    assert [one["is_chosen"] for one in chosen["snapshots"]] == [True, False]
    assert roles(chosen) == {"adapter": 2, "manifest": 2, "snapshot": 4, "snapshot_manifest": 4, "preview": 2}
    assert chosen["adapter_sha256"] == early["adapter_sha256"] == chosen["manifest"]["adapter_sha256"]
    with begin() as session:
        row = priors.get(session, project.id, with_snapshots)
        assert row is not None
        assert row.adapter_sha256 == early["adapter_sha256"]
        assert row.adapter_key is not None
        assert "snapshot" in row.adapter_key
    again = api.post(f"{path}/choose", json={"step": 4}).raise_for_status().json()
    assert (again["snapshots"], roles(again)) == (fresh(before["snapshots"], again), roles(before))


def fresh(rows: list[dict[str, Any]], answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows with the URLs of another answer: each answer signs new ones."""
    return [{**row, "preview": other["preview"]} for row, other in zip(rows, answer["snapshots"], strict=True)]


def test_what_cannot_be_chosen_is_refused_in_words(
    api: TestClient, refused: Refuse, with_snapshots: str, prior: str, subject: dict[str, Any]
) -> None:
    path = f"/v1/priors/{with_snapshots}/choose"
    unknown = refused(422, "snapshot_unknown", api.post, path, json={"step": 3})
    assert unknown["detail"] == f"{with_snapshots} has no snapshot of step 3: choose one of 2, 4"
    assert unknown["param"] == "step"
    single = refused(422, "snapshot_unknown", api.post, f"/v1/priors/{prior}/choose", json={"step": 4})
    assert "nothing to choose from" in single["detail"]
    waiting = api.post(f"/v1/subjects/{subject['id']}/priors").json()["prior_id"]
    refused(409, "prior_not_ready", api.post, f"/v1/priors/{waiting}/choose", json={"step": 4})
    refused(404, "not_found", api.post, "/v1/priors/pri_unknown/choose", json={"step": 4})
    for body in ({}, {"step": 0}, {"step": "two"}, {"step": 2, "why": "best"}):
        refused(422, "invalid_request", api.post, path, json=body)


def test_no_snapshot_is_chosen_after_the_end_of_the_consent(
    api: TestClient, refused: Refuse, upload: Callable[..., str], work: Callable[..., None]
) -> None:
    person = {
        "name": "Ada", "class_noun": "woman", "references": [upload(color) for color in ("red", "green", "blue")],
        "consent": {"person": "Ada", "purpose": "her book"},
    }  # fmt: skip
    subject = api.post("/v1/subjects", json=person).raise_for_status().json()["id"]
    job = api.post(f"/v1/subjects/{subject}/priors").raise_for_status().json()
    work(job["id"], FILES)
    api.delete(f"/v1/subjects/{subject}/consent").raise_for_status()
    assert api.get(f"/v1/priors/{job['prior_id']}").raise_for_status().json()["snapshots"] == []
    refused(409, "consent_ended", api.post, f"/v1/priors/{job['prior_id']}/choose", json={"step": 2})
