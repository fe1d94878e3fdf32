"""`lipe workers`: the table and the list for scripts; a key of one project is refused."""

import json

import pytest
from typer.testing import CliRunner

from cli.main import app
from ledger import workers
from ledger.database import UnitOfWork
from lipe_client import Client


def test_the_workers_are_shown(service_environment: None, begin: UnitOfWork) -> None:
    assert "there is no worker" in CliRunner().invoke(app, ["workers"]).output
    facts = workers.Facts("gpu-1", "1.2", "NVIDIA L40S", 48 * 2**30, ["00ff"])
    with begin() as session:
        workers.report(session, "gpu-1:7", ["edit"], {"name": "sdxl", "fingerprint": "ab" * 32}, facts)
    shown = CliRunner().invoke(app, ["workers"])
    assert shown.exit_code == 0
    line = next(line for line in shown.output.splitlines() if line.startswith("gpu-1:7"))
    assert all(part in line for part in ("idle", "NVIDIA L40S (48 GiB)", "1.2", "sdxl abababababab", " s ago"))
    (listed,) = json.loads(CliRunner().invoke(app, ["workers", "--json"]).output)
    assert (listed["adapters"], listed["state"], listed["gpu_memory_bytes"]) == (["00ff"], "idle", 48 * 2**30)


def test_a_key_of_a_project_is_refused(
    service_environment: None, lipe: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIPE_API_KEY", lipe.create_api_key("admin", scope="admin").api_key)
    refused = CliRunner().invoke(app, ["workers"])
    assert refused.exit_code == 1
    assert "needs a key with the scope `operator`" in " ".join(refused.output.split())
