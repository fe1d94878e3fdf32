"""The base model of a job: of the prior, of the request, or the service's default; refusals say what to do."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from ledger import base_models, workers
from ledger.database import UnitOfWork
from ledger.models import Prior
from tests.support.api_fixtures import Refuse

SDXL = {"name": "sdxl", "fingerprint": "a" * 64, "family": "sdxl"}
KLEIN = {"name": "klein", "fingerprint": "b" * 64, "family": "flux2"}
SERVED = {"native_size": 64, "miniature": False, "license": None}
DOG = "a photo of sks dog jumping"
Train = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def known(begin: UnitOfWork) -> None:
    """Workers have loaded both base models before."""
    with begin() as session:
        for model in (SDXL, KLEIN):
            base_models.remember(session, model)


@pytest.fixture
def train(api: TestClient, subject: dict[str, Any]) -> Train:
    def post(**body: Any) -> dict[str, Any]:
        job: dict[str, Any] = api.post(f"/v1/subjects/{subject['id']}/priors", json=body).raise_for_status().json()
        return job

    return post


@pytest.fixture
def prior_of(train: Train, work: Callable[..., None], begin: UnitOfWork) -> Callable[[dict[str, str]], str]:
    """`prior_of(KLEIN)`: the id of a ready prior of that base model."""

    def make(model: dict[str, str]) -> str:
        job = train(base_model=model["name"])
        work(job["id"])
        with begin() as session:
            manifest = {"base_model": model["name"], "fingerprint": model["fingerprint"]}
            session.get_one(Prior, job["prior_id"]).manifest = manifest
        return str(job["prior_id"])

    return make


@pytest.fixture
def default(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`default("klein")` sets the service's default."""

    def choose(name: str) -> None:
        settings = app.state.service.settings.model_copy(update={"default_base_model": name})
        monkeypatch.setitem(app.state.service.__dict__, "settings", settings)

    return choose


def test_a_training_names_its_base_model_by_name_or_fingerprint(train: Train) -> None:
    assert train()["base_model"] is None
    assert train(base_model="klein")["base_model"] == KLEIN["fingerprint"]
    assert train(base_model=SDXL["fingerprint"])["base_model"] == SDXL["fingerprint"]


def test_without_a_name_the_default_applies(
    api: TestClient, train: Train, default: Callable[[str], None], subject: dict[str, Any], upload: Callable[..., str]
) -> None:
    default("klein")
    assert train()["base_model"] == KLEIN["fingerprint"]
    assert train(base_model="sdxl")["base_model"] == SDXL["fingerprint"]
    image = upload("white")
    body = {"subject_id": subject["id"], "image_id": image}
    assert api.post("/v1/masks", json=body).json()["base_model"] == KLEIN["fingerprint"]
    alone = body | {"prompt": DOG, "use_prior": False}
    assert api.post("/v1/edits", json=alone).json()["base_model"] == KLEIN["fingerprint"]


def test_the_default_is_the_first_of_the_served_models(
    api: TestClient, begin: UnitOfWork, default: Callable[[str], None]
) -> None:
    with begin() as session:
        for model in (SDXL, KLEIN):
            workers.report(session, f"{model['name']}:1", ["prior"], model | SERVED)
    for chosen, names in (("", ["klein", "sdxl"]), ("sdxl", ["sdxl", "klein"]), ("a" * 64, ["sdxl", "klein"])):
        default(chosen)
        assert [model["name"] for model in api.get("/v1/models").json()["data"]] == names


def test_a_setting_that_the_base_model_lacks_is_refused(
    api: TestClient, begin: UnitOfWork, refused: Refuse, train: Train, subject: dict[str, Any]
) -> None:
    with begin() as session:
        workers.report(session, "klein:1", ["prior"], KLEIN | SERVED | {"recipe": {"prior": {"steps": 500}}})
    path, setting = f"/v1/subjects/{subject['id']}/priors", {"token_learning_rate": 0.001}
    for route in (path, f"{path}/dry-run"):
        problem = refused(422, "invalid_request", api.post, route, json={"parameters": setting})
        assert problem["param"] == "parameters.token_learning_rate"
        assert "cannot train with token_learning_rate: leave it out" in problem["detail"]
    train(parameters={"token_learning_rate": 0, "steps": 10})
    train(parameters=setting, base_model="sdxl")  # no worker reports the settings of this one
    with begin() as session:
        recipe = {"prior": {"steps": 500, "token_learning_rate": 0.0}}
        workers.report(session, "sdxl:1", ["prior"], SDXL | SERVED | {"recipe": recipe})
    assert train(parameters=setting)["base_model"] == SDXL["fingerprint"], "a worker of klein must not claim it"
    assert train(parameters={"steps": 10})["base_model"] is None
    refused(422, "invalid_request", api.post, path, json={"parameters": setting, "base_model": "klein"})


def test_an_unknown_base_model_is_refused_with_the_known_ones(
    api: TestClient, refused: Refuse, subject: dict[str, Any], default: Callable[[str], None]
) -> None:
    path = f"/v1/subjects/{subject['id']}/priors"
    problem = refused(422, "base_model_unknown", api.post, path, json={"base_model": "flux"})
    advice = "no worker of this service has had the base model flux: choose from klein, sdxl, or leave it out"
    assert (problem["detail"], problem["param"]) == (advice, "base_model")
    default("flux")
    problem = refused(503, "default_base_model_unknown", api.post, path)
    assert problem["retryable"]
    assert "correct LIPE_DEFAULT_BASE_MODEL" in problem["detail"]


def test_an_edit_uses_the_newest_prior_of_the_base_model_that_it_names(
    api: TestClient, refused: Refuse, subject: dict[str, Any], upload: Callable[..., str],
    prior_of: Callable[[dict[str, str]], str],
) -> None:  # fmt: skip
    body = {"subject_id": subject["id"], "image_id": upload("white"), "prompt": DOG}
    older = prior_of(SDXL)
    problem = refused(409, "prior_not_ready", api.post, "/v1/edits", json=body | {"base_model": "klein"})
    assert "no ready prior of the base model klein" in problem["detail"]
    newer = prior_of(KLEIN)
    for choice, prior, model in (({}, newer, KLEIN), ({"base_model": "sdxl"}, older, SDXL)):
        job = api.post("/v1/edits", json=body | choice).json()
        assert (job["prior_id"], job["base_model"]) == (prior, model["fingerprint"])
    assert api.get(f"/v1/priors/{older}").json()["base_model"] == {"name": "sdxl", "fingerprint": SDXL["fingerprint"]}


def test_a_prior_of_another_base_model_is_refused_in_words(
    api: TestClient, refused: Refuse, upload: Callable[..., str], prior_of: Callable[[dict[str, str]], str]
) -> None:
    body = {"prior_id": prior_of(SDXL), "image_id": upload("white"), "prompt": DOG, "base_model": "klein"}
    problem = refused(422, "base_model_mismatch", api.post, "/v1/edits", json=body)
    assert problem["detail"] == (
        "the prior was trained on the base model sdxl, not on klein: leave base_model out, or train a prior of the "
        "subject with base_model klein"
    )
    mixed = body | {"base_model": "sdxl", "mix": {"prior_id": prior_of(KLEIN)}}
    problem = refused(422, "priors_not_mixable", api.post, "/v1/edits", json=mixed)
    assert "different base models, sdxl and klein" in problem["detail"]


def test_a_method_of_another_family_is_refused_before_a_worker_takes_it(
    api: TestClient, refused: Refuse, subject: dict[str, Any], upload: Callable[..., str],
    prior_of: Callable[[dict[str, str]], str], begin: UnitOfWork,
) -> None:  # fmt: skip
    body = {"image_id": upload("white"), "prompt": DOG, "method": "ledits", "n": 1}
    problem = refused(422, "invalid_request", api.post, "/v1/edits", json=body | {"prior_id": prior_of(KLEIN)})
    advice = "ledits is made for base models of the family sdxl, and klein is of the family flux2: choose another"
    assert advice in problem["detail"]
    assert problem["param"] == "method"
    alone = body | {"subject_id": subject["id"], "use_prior": False}
    assert api.post("/v1/edits", json=alone).json()["base_model"] is None
    with begin() as session:
        workers.report(session, "klein:1", ["edit"], KLEIN)
    assert advice in refused(422, "invalid_request", api.post, "/v1/edits", json=alone)["detail"]
    with begin() as session:
        workers.report(session, "sdxl:1", ["edit"], SDXL)
    assert api.post("/v1/edits", json=alone).json()["base_model"] == SDXL["fingerprint"]
