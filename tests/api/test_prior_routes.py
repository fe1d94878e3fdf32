"""Priors: invalid requests."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.support.api_fixtures import Refuse


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": {"steps": 0}},
        {"parameters": {"learning_rate": 0}},
        {"parameters": {"compute_dtype": "float32"}},
        {"regularization": {"count": -1}},
    ],
)
def test_priors(api: TestClient, refused: Refuse, subject: dict[str, Any], change: dict[str, Any]) -> None:
    refused(422, "invalid_request", api.post, f"/v1/subjects/{subject['id']}/priors", json=change)
    refused(404, "not_found", api.post, "/v1/subjects/sub_unknown/priors")
