"""The contract describes the API as it is: codes, media types, names, parameters."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from jsonschema_rs import Draft202012Validator
from pydantic import BaseModel

from api import contract, examples, openapi
from api.app import MAX_JSON_BYTES, make_app
from api.auth import needs_key
from api.method_parameters import PARAMETERS
from api.prior_parameters import PriorParameters, RegularizationParameters
from api.problem_kinds import PROBLEM_KINDS
from api.problems import ProblemDocument
from api.webhook_events import EventData, LinkedResult, WebhookEvent
from ledger.job_warnings import WarningCode
from ledger.settings import Settings
from ledger.webhooks import EVENT_TYPES
from worker.job_errors import CODES, DISK_FULL, INTERNAL, STUCK

ROOT = Path(__file__).parents[2]
DOCS, CONTRACT = ROOT / "docs" / "problems.md", ROOT / "docs" / "openapi.json"


def test_the_docs_list_every_problem_code() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (yes|no) \| .{20,} \|$", DOCS.read_text(), re.MULTILINE)
    assert rows == [(code, str(kind.status), "yes" if kind.retryable else "no") for code, kind in PROBLEM_KINDS.items()]


def test_the_docs_list_every_error_code_of_jobs() -> None:
    page = DOCS.read_text().partition("## Failed jobs")[2]
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == {
        *CODES.values(),
        STUCK,
        DISK_FULL,
        INTERNAL,
        "worker_lost",
    }


def test_the_docs_list_every_warning() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .{40,} \|$", (ROOT / "docs" / "warnings.md").read_text(), re.MULTILINE)
    assert rows == list(get_args(WarningCode))


def test_settings_are_documented_with_their_defaults(app: FastAPI) -> None:
    schemas = app.openapi()["components"]["schemas"]
    models: list[type[BaseModel]] = [*PARAMETERS.values(), PriorParameters, RegularizationParameters]
    for model in models:
        properties = schemas[model.__name__]["properties"]
        assert set(properties) == set(model.model_fields)
        assert all(len(setting["description"]) > 10 for setting in properties.values())
    assert schemas["DdimParameters"]["properties"]["steps"]["description"].endswith("Default: 50.")


def test_a_field_of_a_request_has_its_default_in_words_alone(app: FastAPI) -> None:
    schemas = app.openapi()["components"]["schemas"]
    requests = [schema for schema in schemas.values() if schema.get("additionalProperties") is False]
    assert {"NewEdit", "NewPrior", "NewSubject", "NimaParameters"} <= {schema["title"] for schema in requests}
    for schema in requests:
        assert not [name for name, field in schema["properties"].items() if "default" in field]
    assert schemas["NewEdit"]["properties"]["use_prior"]["description"].endswith("Default: true.")
    assert "null" not in schemas["NewPrior"]["properties"]["parameters"]["description"]


def test_every_property_and_every_parameter_has_a_description(app: FastAPI) -> None:
    document = app.openapi()
    undocumented = [
        name for name, field in _properties(document) if len(field.get("description", "").strip().partition(" ")[2]) < 3
    ]
    for path, methods in document["paths"].items():
        for operation in methods.values():
            parameters = operation.get("parameters", [])
            undocumented += [f"{path} {one['name']}" for one in parameters if len(one.get("description", "")) < 10]
    assert not undocumented


def test_every_optional_field_of_a_request_says_its_default(app: FastAPI) -> None:
    one_of_several = {f"NewEdit.{name}" for name in ("subject_id", "prior_id", "prompt", "prompts", "action")}
    one_of_several |= {"NewMask.subject_id", "NewMask.prior_id"}
    schemas = app.openapi()["components"]["schemas"]
    optional = [
        (f"{name}.{field}", schema["properties"][field]["description"])
        for name, schema in schemas.items()
        if schema.get("additionalProperties") is False
        for field in set(schema["properties"]) - set(schema.get("required", []))
    ]
    assert len(optional) > 90
    assert {name for name, text in optional if "Default: " not in text} == one_of_several


def _properties(value: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every property of every schema in the document, with its path. Examples are no schemas."""
    if isinstance(value, list):
        for entry in value:
            yield from _properties(entry, name)
    elif isinstance(value, dict):
        for key, entry in value.items():
            if key not in ("example", "examples"):
                yield from _properties(entry, f"{name}/{key}")
        if value.get("type") == "object":
            for key, field in value.get("properties", {}).items():
                yield f"{name}.{key}", field


def test_openapi_names_every_operation_and_every_problem(app: FastAPI) -> None:
    operations = [
        (path, operation) for path, methods in app.openapi()["paths"].items() for operation in methods.values()
    ]
    names = [operation["operationId"] for _, operation in operations]
    assert len(set(names)) == len(names) > 25
    for path, operation in operations:
        assert re.fullmatch(r"[a-z_]+", operation["operationId"])
        assert operation["tags"]
        assert operation["description"]
        refusals = {status for status in operation["responses"] if status >= "4"}
        assert not path.startswith("/v1") or {"403", "422", "500", "503"} <= refusals
        assert not needs_key(path) or "401" in refusals
        for status in refusals - ({"503"} if path == "/readyz" else set()):
            assert list(operation["responses"][status]["content"]) == ["application/problem+json"]
            content = operation["responses"][status]["content"]["application/problem+json"]
            assert content["schema"] == {"$ref": "#/components/schemas/ProblemDocument"}
            for code, example in content["examples"].items():
                assert ProblemDocument.model_validate(example["value"]).code == code
                assert PROBLEM_KINDS[code].status == int(status)
    assert "HTTPValidationError" not in app.openapi()["components"]["schemas"]


def test_the_committed_contract_is_up_to_date() -> None:
    assert CONTRACT.read_text() == contract.render(), "run `make openapi` and review the changes"


def test_every_example_fits_its_schema(app: FastAPI) -> None:
    document = app.openapi()
    bodies = [operation["requestBody"] for operation in openapi.operations(document) if "requestBody" in operation]
    answers = [
        answer
        for operation in openapi.operations(document)
        for status, answer in operation["responses"].items()
        if status < "3"
    ]
    events = [methods["post"]["requestBody"] for methods in document["webhooks"].values()]
    found = [
        content["application/json"]
        for content in (part.get("content", {}) for part in [*bodies, *answers, *events])
        if "application/json" in content
    ]
    assert len(found) == len(examples.REQUESTS) + len(examples.RESPONSES) + len(EVENT_TYPES)
    for entry in found:
        whole = entry["schema"] | {"components": document["components"]}
        errors = list(Draft202012Validator(whole, validate_formats=True).iter_errors(entry["example"]))
        assert not errors, entry["example"]


def test_webhooks_are_described_as_they_are_sent(
    api: TestClient, subject: dict[str, Any], upload: Callable[..., str], work: Callable[..., None]
) -> None:
    api.post("/v1/webhook-endpoints", json={"url": "http://127.0.0.1:9/", "events": list(EVENT_TYPES)})
    job = api.post(f"/v1/subjects/{subject['id']}/priors", json={"metadata": {"order": "7"}}).json()
    work(job["id"])
    other = api.post(f"/v1/subjects/{subject['id']}/priors").json()
    api.post(f"/v1/jobs/{other['id']}/cancel")
    payload = {"subject_id": subject["id"], "image_id": upload("white"), "prompt": "a photo of sks dog jumping"}
    edit = api.post("/v1/edits", json=payload).json()
    roles = ("image", "source_mask", "edit_mask", "uncomposited")
    work(edit["id"], [(role, {"target_prompt": payload["prompt"], "seed": 1}) for role in roles])
    sent = [row["body"] for row in reversed(api.get("/v1/webhook-deliveries").json()["data"])]
    assert [body["type"] for body in sent] == [
        "prior.started", "prior.succeeded", "prior.canceled", "edit.started", "edit.output", "edit.succeeded",
    ]  # fmt: skip
    for body in sent:
        event = WebhookEvent.model_validate(body)
        assert set(body["data"]) == event.data.model_dump(exclude_unset=True).keys()
        assert set(body["data"]) <= set(EventData.model_fields)
        for result in (body["data"].get("output"), *body["data"].get("results", ())):
            assert set(result or ()) <= set(LinkedResult.model_fields)
    assert sent[1]["data"]["metadata"] == {"order": "7"}
    assert [file["role"] for file in sent[1]["data"]["files"]] == ["adapter", "manifest"]


@pytest.mark.parametrize("path", ["/v1/jobs?statuss=failed", "/v1/jobs?limit[x]=1", "/v1/webhook-secret?all=1"])
def test_an_unknown_query_parameter_is_refused(api: TestClient, path: str) -> None:
    answer = api.get(path)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert answer.json()["param"] == path.partition("?")[2].partition("=")[0]
    assert api.post(f"/v1/jobs/job_1/cancel{path[path.index('?') :]}").status_code == 422


def test_refusals_by_the_framework_are_problem_documents_too(api: TestClient) -> None:
    kind = {"Content-Type": "application/json"}
    for answer, status, code in (
        (api.get("/v1/nothing"), 404, "not_found"),
        (api.get("/nothing"), 404, "not_found"),
        (api.get("/v1/images/"), 404, "not_found"),
        (api.put("/v1/images"), 405, "method_not_allowed"),
        (api.post("/v1/edits"), 422, "invalid_request"),
        (api.post("/v1/edits", content=b"{", headers=kind), 422, "invalid_request"),
        (api.post("/v1/edits", content=b"[]", headers=kind), 422, "invalid_request"),
        (api.post("/v1/edits", content=b"\xff", headers=kind), 400, "malformed_request"),
        (api.get("/v1/jobs", params={"limit": 101}), 422, "invalid_request"),
        (api.get("/v1/images/%00"), 422, "invalid_request"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status
    assert api.put("/v1/images").headers["allow"] == "GET, POST"
    assert api.put("/v1/webhook-endpoints/whk_1").headers["allow"] == "DELETE, GET, PATCH"
    assert api.post("/docs").headers["allow"] == "GET"


def test_every_error_is_listed_with_its_field(api: TestClient) -> None:
    body = api.post("/v1/edits", json={"image_id": 1, "parameters": {"steps": 0}}).json()
    assert {error["param"] for error in body["errors"]} == {"image_id", "parameters.steps"}
    assert body["param"] == body["errors"][0]["param"]


def test_a_long_body_is_refused_before_it_is_read(api: TestClient) -> None:
    long = b" " * (MAX_JSON_BYTES + 1)
    announced = api.post("/v1/edits", content=long, headers={"Content-Type": "application/json"})
    counted = api.post("/v1/edits", content=iter([long]), headers={"Content-Type": "application/json"})
    for answer in (announced, counted):
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_a_valid_request_id_is_echoed(api: TestClient) -> None:
    assert api.get("/v1/jobs", headers={"X-Request-Id": "abc-1"}).headers["x-request-id"] == "abc-1"
    for invalid in ("", "x" * 129, "a b", "a\\u0022"):
        assert api.get("/v1/jobs", headers={"X-Request-Id": invalid}).headers["x-request-id"].startswith("req_")


def test_an_unexpected_failure_reveals_nothing(settings: Settings, api: TestClient) -> None:
    app = make_app(settings)

    @app.get("/v1/broken")
    def broken() -> None:
        raise RuntimeError("secret")

    with TestClient(app, headers=dict(api.headers), raise_server_exceptions=False) as client:
        answer = client.get("/v1/broken")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
