"""`lipe logs`: the end of the logs of a data folder, of all programs or one, in the order of time."""

import json
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.logs import LogReader, find_programs
from cli.main import app


def line(second: int, event: str, **fields: str) -> str:
    first = {"timestamp": f"2026-11-29T01:00:{second:02}.5Z", "level": "info", "logger": "x", "event": event}
    return json.dumps(first | fields) + "\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with two programs."""
    for name in ("api", "dispatcher", "cache"):
        (tmp_path / name).mkdir()
    (tmp_path / "api" / "log.1").write_text(line(1, "one"))
    (tmp_path / "api" / "log").write_text(
        line(3, "three", request_id="req_1") + line(4, "four", exception="Trace\nback")
    )
    (tmp_path / "dispatcher" / "log").write_text(line(2, "two\nlines") + "not JSON\n")
    return tmp_path


def test_the_lines_of_all_programs_are_sorted_by_time(data: Path) -> None:
    assert run(data).splitlines() == [
        f"dispatcher     {'':19} {'':8} : not JSON",
        "api            2026-11-29 01:00:01 INFO     x: one",
        "dispatcher     2026-11-29 01:00:02 INFO     x: two lines",
        "api            2026-11-29 01:00:03 INFO     x: three  request_id=req_1",
        "api            2026-11-29 01:00:04 INFO     x: four",
        "Trace",
        "back",
    ]


def test_the_last_lines_of_one_program_as_json(data: Path) -> None:
    printed = [json.loads(text) for text in run(data, "api", "--lines", "2", "--json").splitlines()]
    assert [(one["program"], one["event"]) for one in printed] == [("api", "three"), ("api", "four")]
    assert run(data, "--lines", "0") == ""


def test_new_lines_are_read_once_also_after_a_rotation(data: Path) -> None:
    with closing(LogReader(find_programs(data, "api")[0])) as reader:
        check_new_lines(reader, data / "api" / "log")


def check_new_lines(reader: LogReader, log: Path) -> None:
    assert [one["event"] for one in reader.last(50)] == ["one", "three", "four"]
    with log.open("a") as file:
        file.write(line(5, "five") + '{"event": "incompl')
    assert [one["event"] for one in reader.new()] == ["five"]
    with log.open("a") as file:
        file.write('ete"}\n')
    log.replace(log.with_name("log.1"))
    log.write_text(line(7, "seven"))
    assert [one["event"] for one in reader.new()] == ["incomplete", "seven"]
    assert list(reader.new()) == []


def test_an_unknown_program_and_a_folder_without_logs_are_refused(data: Path, tmp_path: Path) -> None:
    assert "choose from api, dispatcher" in run(data, "webhooks", status=2)
    assert "there are no logs in" in run(tmp_path / "none", status=2)


def run(data: Path, *arguments: str, status: int = 0) -> str:
    result = CliRunner().invoke(app, ["logs", *arguments, "--data", str(data)], env={"COLUMNS": "200"})
    assert result.exit_code == status, result.output
    return result.output
