"""`lipe verify`, which uses the client's `verify`; and the projects' kind of results."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from ledger import projects
from ledger.database import UnitOfWork
from ledger.models import Project
from lipe_client import AsyncClient, Problem
from tests.support.signed_images import local_signer, noise, signed


@pytest.mark.usefixtures("service_environment")
def test_a_file_is_checked_and_a_broken_one_ends_with_status_1(tmp_path: Path) -> None:
    content = bytearray(signed(local_signer(tmp_path / "signer"), noise()))
    (tmp_path / "strange.png").write_bytes(content)
    content[-60] ^= 1
    (tmp_path / "broken.png").write_bytes(content)
    strange, broken = (
        CliRunner().invoke(app, ["verify", str(tmp_path / f"{name}.png"), *options])
        for name, options in (("strange", []), ("broken", ["--json"]))
    )
    assert strange.exit_code == 0, strange.output
    assert strange.stdout.splitlines()[:2] == [
        "untrusted: Content Credentials with a correct signature, by an unknown signer: anyone may have written them",
        "made here: no",
    ]
    assert "compositeWithTrainedAlgorithmicMedia LIPE 0.2.0 20 x 10 at 3, 4" in strange.stdout
    assert (broken.exit_code, json.loads(broken.stdout)["credentials"]) == (1, "broken")


@pytest.mark.usefixtures("service_environment")
def test_the_asyncio_client_verifies_too_and_refuses_what_is_no_image() -> None:
    async def check() -> str:
        async with AsyncClient(os.environ["LIPE_URL"], os.environ["LIPE_API_KEY"]) as lipe:
            with pytest.raises(Problem, match="first bytes match none"):
                await lipe.verify(b"no image")
            return (await lipe.verify(noise())).credentials

    assert asyncio.run(check()) == "absent"


@pytest.mark.usefixtures("settings_environment")
def test_a_project_gets_a_kind_of_result_if_there_is_a_key(
    project: Project, begin: UnitOfWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["projects", "set", project.name, "--results", "published"]
    refused = CliRunner().invoke(app, command)
    assert (refused.exit_code, "LIPE_WATERMARK_KEY" in refused.output) == (2, True)
    monkeypatch.setenv("LIPE_WATERMARK_KEY", "a key")
    assert CliRunner().invoke(app, command).exit_code == 0
    with begin() as session:
        assert [one.result_kind for one in projects.listing(session)] == ["published"]
    labelled = CliRunner().invoke(app, ["projects", "set", project.name, "--label"])
    assert labelled.stdout == f"{project.name} is changed; `lipe projects list` shows it\n"
    assert CliRunner().invoke(app, ["projects", "set", project.name]).exit_code == 2
    assert "published │ yes" in CliRunner().invoke(app, ["projects", "list"]).stdout
    assert CliRunner().invoke(app, ["projects", "set", "none", "--results", "archival"]).exit_code == 2
