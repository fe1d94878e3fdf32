"""`lipe whoami`: the key that the commands use, and what is left of the quotas."""

import json

from typer.testing import CliRunner

from cli.main import app
from lipe_client import Client


def test_the_key_its_project_and_the_quotas(service_environment: None, lipe: Client, server: str) -> None:
    created = lipe.create_api_key("viewer", scope="read")
    given = ["whoami", "--url", server, "--api-key", created.api_key]
    shown = CliRunner().invoke(app, given)
    assert shown.exit_code == 0, shown.output
    first, jobs, *table = shown.output.splitlines()
    project = lipe.key().project.name
    assert first == f"key {created.id} (viewer): read in the project {project}, without an expiry"
    assert jobs.startswith("jobs: 0 queued, 0 of at most ")
    assert any("gpu-seconds" in line and "hours" in line for line in table)
    found = json.loads(CliRunner().invoke(app, [*given, "--json"]).output)
    assert (found["key"]["scopes"], found["usage"]["queued_jobs"]) == (["read"], 0)


def test_a_wrong_key_is_an_error_in_words(service_environment: None, server: str) -> None:
    refused = CliRunner().invoke(app, ["whoami", "--url", server, "--api-key", "lipe_wrong"])
    assert refused.exit_code == 1
    assert "the API key is wrong" in refused.output
