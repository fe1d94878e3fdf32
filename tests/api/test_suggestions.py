"""A misspelled name is answered with the nearest known one."""

from collections.abc import Iterable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api import suggestions
from api.edit_request import NewEdit

EDIT = {"subject_id": "sub_1", "image_id": "img_1", "prompt": "a photo of sks dog jumping"}


@pytest.mark.parametrize(
    ("path", "payload", "param", "detail"),
    [
        ("edits", EDIT | {"promts": ["x"]}, "promts", "unknown field `promts`: did you mean `prompts`?"),
        (
            "edits",
            EDIT | {"parameters": {"step": 3}},
            "parameters.step",
            "unknown field `step`: did you mean `steps`?",
        ),
        ("edits", EDIT | {"Seed": 1}, "Seed", "unknown field `Seed`: did you mean `seed`?"),
        (
            "edits",
            EDIT | {"method": "sdedit", "parameters": {"renoise": 0.5}},
            "parameters.renoise",
            "unknown field `renoise`: choose from guidance_scale, steps, strength",
        ),
        (
            "subjects/sub_1/priors",
            {"parameters": {"learning_rates": 1}},
            "parameters.learning_rates",
            "unknown field `learning_rates`: did you mean `learning_rate`?",
        ),
        (
            "subjects/sub_1/priors",
            {"regularisation": {}},
            "regularisation",
            "unknown field `regularisation`: did you mean `regularization`?",
        ),
        ("images", {"uploadid": "upl_1"}, "uploadid", "unknown field `uploadid`: did you mean `upload_id`?"),
        ("webhook-endpoints", {"url": "http://127.0.0.1/", "x" * 65: 1}, "x" * 65, "unknown field: remove it"),
    ],
)
def test_a_field(api: TestClient, path: str, payload: dict[str, Any], param: str, detail: str) -> None:
    answer = api.post(f"/v1/{path}", json=payload)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert {"param": param, "detail": detail} in answer.json()["errors"]


def test_other_errors_stay_as_they_are(api: TestClient) -> None:
    payload = EDIT | {"prompt": "\x01{0}", "n": 0, "parameters": {"step": 3, "steps": 0}}
    errors = api.post("/v1/edits", json=payload).json()["errors"]
    assert {error["param"] for error in errors} == {"prompt", "n", "parameters.step", "parameters.steps"}
    details = {error["param"]: error["detail"] for error in errors}
    assert details["n"] == details["parameters.steps"] == "Input should be greater than or equal to 1"
    assert details["prompt"].endswith("must not contain control characters")


def test_thousands_of_unknown_fields_get_few_suggestions(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    def unknown(kind: str, name: str, known: Iterable[str]) -> str:
        compared.append(name)
        return f"unknown {kind} `{name}`"

    monkeypatch.setattr(suggestions, "unknown", unknown)
    with pytest.raises(ValueError, match="unknown field: remove it"):
        NewEdit.model_validate(EDIT | {f"promt{number}": 1 for number in range(1000)})
    assert len(compared) == 8


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("statuss=failed", "unknown query parameter `statuss`: did you mean `status`?"),
        ("limit[x]=1", "unknown query parameter `limit[x]`: did you mean `limit`?"),
    ],
)
def test_a_query_parameter(api: TestClient, query: str, detail: str) -> None:
    answer = api.get(f"/v1/jobs?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"param": query.partition("=")[0], "detail": detail}]


def test_a_path_without_query_parameters(api: TestClient) -> None:
    detail = "unknown query parameter `all`: remove it, as none is possible here"
    assert api.get("/v1/webhook-secret?all=1").json()["errors"] == [{"param": "all", "detail": detail}]
