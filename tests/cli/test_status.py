"""`lipe status`: what a service does, what does not work, and what to do about it."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.embedded.process import running
from cli.main import app
from cli.settings_file import as_exports
from cli.status import Status, describe
from ledger import workers
from ledger.database import UnitOfWork
from lipe_client import Client
from tests.support.receiver import receiving
from tests.support.uploads import png

MODEL = {
    "name": "sdxl", "fingerprint": "f", "family": "sdxl", "native_size": 1024, "miniature": False, "license": None,
}  # fmt: skip


def test_a_service_and_its_data_folder(
    service_environment: None, lipe: Client, begin: UnitOfWork, server: str, tmp_path: Path
) -> None:
    with begin() as session:
        workers.report(session, "host:1", ["edit"], MODEL)
    references = [lipe.upload_image(png(colour)) for colour in ("red", "green", "blue")]
    lipe.train_prior(lipe.create_subject(name="Rex", class_noun="dog", references=references))
    key = lipe.create_api_key("viewer", scope="read").api_key
    (tmp_path / "settings.sh").write_text(as_exports({"LIPE_URL": server, "LIPE_API_KEY": key}))
    (tmp_path / "dispatcher").mkdir()
    (tmp_path / "dispatcher" / "log").write_text("{}")
    ready = tmp_path / "ready"
    code = f"open({str(ready)!r}, 'w'); import time; time.sleep(60)"
    with running([sys.executable, "-c", f"print(1, flush=True); {code}"], tmp_path / "api", is_ready=ready.exists):
        output = run("--data", str(tmp_path), status=1).output
        found = json.loads(run("--data", str(tmp_path), "--json", status=1).output)
    assert output.splitlines()[0] == f"LIPE runs at {server}"
    assert "base model  sdxl (sdxl, 1024 px): 1 worker for edits" in output
    assert "jobs        1 queued, 0 running" in output
    assert f"data        {tmp_path}: " in output
    assert "programs    1 of 2 run: api, dispatcher" in output
    assert output.splitlines()[-1] == (
        f"fault       dispatcher does not run: see `lipe logs dispatcher --data {tmp_path}`"
    )
    assert found["programs"] == {"api": True, "dispatcher": False}
    assert found["used_bytes"] > 0
    assert datetime.now(UTC) - datetime.fromisoformat(found["since"]) < timedelta(minutes=10)


def test_a_service_without_workers_is_a_fault(service_environment: None, server: str) -> None:
    output = run("--url", server, status=1).output
    assert "fault       no worker has loaded a base model yet" in output
    assert "programs" not in output


def test_nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("LIPE_URL", "LIPE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert "start it with `lipe up --data none`" in " ".join(
        run("--data", "none", status=2).output.replace("│", "").split()
    )
    assert run("--url", "http://127.0.0.1:9", "--api-key", "x", status=1).output.startswith("cannot reach")


def test_another_program_answers() -> None:
    with receiving(200) as other:
        output = run("--url", other.url, "--api-key", "x", status=1).output
    assert output.startswith(f"another program than LIPE answers at {other.url}")


def test_a_report_names_what_does_not_answer() -> None:
    found = Status(
        url="http://u", servers={"database": True, "broker": False}, models=[MODEL | {"kinds": ["edit"], "workers": 2}],
        queued=0, running=1, folder="data", programs={"api": True}, used_bytes=1_234_567, free_bytes=76_900_000_000,
        since="2026-11-29T01:00:00+00:00",
    )  # fmt: skip
    assert describe(found, datetime(2026, 11, 29, 4, 30, tzinfo=UTC)) == [
        "LIPE runs at http://u",
        "up since    2026-11-29 01:00 UTC (3 hours)",
        "base model  sdxl (sdxl, 1024 px): 2 workers for edits",
        "jobs        0 queued, 1 running (of this project)",
        "data        data: 1 MB used, 76.9 GB free",
        "programs    1 of 1 run: api",
        "fault       broker does not answer: jobs wait until it does",
    ]


def run(*arguments: str, status: int = 0) -> Result:
    result = CliRunner().invoke(app, ["status", *arguments])
    assert result.exit_code == status, result.output
    return result
