"""The base models that live workers have loaded."""

from fastapi.testclient import TestClient

from ledger import workers
from ledger.database import UnitOfWork

MODEL = {
    "name": "sdxl", "fingerprint": "00ff", "family": "sdxl", "native_size": 1024, "miniature": False, "license": None,
}  # fmt: skip


def test_without_workers_there_are_none(api: TestClient) -> None:
    assert api.get("/v1/models").json() == {"data": [], "has_more": False, "next_cursor": None}


def test_every_project_sees_the_models_and_no_worker(api: TestClient, stranger: TestClient, begin: UnitOfWork) -> None:
    with begin() as session:
        workers.report(session, "host:1", ["prior"], MODEL)
        workers.report(session, "host:2", ["edit"], MODEL)
    for caller in (api, stranger):
        (model,) = caller.get("/v1/models").raise_for_status().json()["data"]
        assert model == MODEL | {"recipe": {}, "choices": {}, "kinds": ["edit", "prior"], "workers": 2}


def test_the_settings_of_the_recipe_are_shown(api: TestClient, begin: UnitOfWork) -> None:
    settings = {"recipe": {"nima": {"steps": 4}}, "choices": {"nima": {"preset": {"fast": {"steps": 2}}}}}
    with begin() as session:
        workers.report(session, "host:1", ["edit"], MODEL | settings)
    (model,) = api.get("/v1/models").raise_for_status().json()["data"]
    assert {name: model[name] for name in settings} == settings
