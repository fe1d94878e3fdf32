"""The script for a GPU runs on a CPU, at small scale, so that it works when a GPU is at hand."""

import json
from typing import Any

import pytest

from benchmarks import h200


def run(capsys: pytest.CaptureFixture[str], *sections: str) -> dict[str, dict[str, Any]]:
    h200.main(["--small", *sections])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert {line["section"] for line in lines} == set(sections)
    return {line["what"]: line for line in lines}


def test_every_section_but_the_edits_reports_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    found = run(capsys, *(name for name in h200.SECTIONS if name != "edits"))
    assert found["flat gradient"]["relative_error"] < 1e-4
    assert found["graph of a training step"]["eager_because"]


@pytest.mark.slow
def test_edits_report_their_stages(capsys: pytest.CaptureFixture[str]) -> None:
    found = run(capsys, "edits")
    assert found["an edit, first prompt"]["stages"].keys() == {"inverting", "editing", "decoding"}


def test_an_unknown_section_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        h200.main(["graph"])
    assert "unknown section 'graph': choose from ceilings" in capsys.readouterr().err
