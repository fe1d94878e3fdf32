"""Fixtures: a client of a real uvicorn with real servers behind it."""

from collections.abc import Iterator

import pytest

from ledger.models import Project
from lipe_client import Client
from tests.support.api_fixtures import NewKey


@pytest.fixture
def lipe(server: str, project: Project, new_key: NewKey) -> Iterator[Client]:
    """A client with an API key of `project`."""
    with Client(server, new_key(project)) as client:
        yield client
