"""The log of a child: JSON lines in a bounded file. Errors quote this run only."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.embedded import child_log, postgres, s3, valkey
from cli.embedded.process import Exited, running
from ledger.settings import Settings
from ledger.storage import Storage


def stored(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log").read_text().splitlines()]


def run(folder: Path, code: str) -> str:
    """The error of a program that ends before it is ready."""
    with (
        pytest.raises(Exited) as failed,
        running([sys.executable, "-c", code], folder, is_ready=lambda: False),
    ):
        pass
    return str(failed.value)


def test_every_line_has_one_format(tmp_path: Path) -> None:
    ours = {"timestamp": "2026-11-29T01:00:00Z", "level": "error", "logger": "worker.run_job", "event": "a \u00fc"}
    code = f"""
print({json.dumps(ours)!r})
print('10 %\\r100 %\\n\\n{{"event')
raise ValueError('no such luck')
"""
    run(tmp_path, code)
    lines = stored(tmp_path)
    assert all(list(line)[:3] == ["timestamp", "level", "logger"] for line in lines)
    assert lines.count(ours) == 1
    assert {"100 %", '{"event', "ValueError: no such luck"} <= {line["event"] for line in lines}
    assert {line["logger"] for line in lines} == {"worker.run_job", tmp_path.name}


def test_an_error_quotes_this_run_only(tmp_path: Path) -> None:
    assert "first mistake" in run(tmp_path, "exit('first mistake')")
    error = run(tmp_path, "exit('second mistake')")
    assert "second mistake" in error
    assert "first mistake" not in error
    assert [line["event"] for line in stored(tmp_path)] == ["first mistake", "second mistake"]


def test_a_log_has_at_most_two_files_of_bounded_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_log, "MAX_BYTES", 2000)
    run(tmp_path, "for number in range(100): print(number)")
    files = sorted(tmp_path.glob("log*"))
    assert [file.name for file in files] == ["log", "log.1"]
    assert all(file.stat().st_size < 2200 for file in files)
    events = [json.loads(line)["event"] for file in reversed(files) for line in file.read_text().splitlines()]
    assert events == [str(number) for number in range(100 - len(events), 100)]


def test_the_lines_of_postgres() -> None:
    line = "2026-11-29 01:17:53.150 UTC [3768] FATAL:  the database system is starting up"
    assert postgres.parse_line(line) == {
        "timestamp": "2026-11-29T01:17:53.150Z", "level": "critical", "event": "the database system is starting up",
    }  # fmt: skip
    assert postgres.parse_line("\tcontinued") is None


def test_the_lines_of_valkey() -> None:
    fields = valkey.parse_line("3773:M 29 Nov 2026 01:17:53.364 # Server initialized")
    assert fields is not None
    assert (fields["level"], fields["event"]) == ("warning", "Server initialized")
    assert fields["timestamp"].endswith(":53.364Z")
    assert valkey.parse_line("a traceback") is None


def test_a_benign_race_in_the_storage_is_no_error(tmp_path: Path) -> None:
    with s3.serve(tmp_path / "s3") as server:
        storage = Storage(
            Settings(
                database_url="postgresql://unused/unused",
                broker_url="redis://unused",
                s3_endpoint_url=server.endpoint_url,
                s3_bucket=server.bucket,
                s3_access_key_id=server.access_key_id,
                s3_secret_access_key=server.secret_access_key,
                key_pepper="a pepper for tests only",
            )
        )
        first, _ = (storage.put("projects/p/", name, b"content", "image/png") for name in ("first", "second"))
        for _ in range(2):
            storage.delete(first.key)  # another object is in the folder; then the object does not exist
        storage.ensure_bucket()
    lines = stored(tmp_path / "s3")
    assert "Dir.Remove not empty" in {line["event"] for line in lines}  # at level ERROR in the server's own log
    assert {line["level"] for line in lines} == {"debug", "info"}
    assert all("T" in line["timestamp"] for line in lines)
