"""The scenario of the demo's command line."""

from pathlib import Path

import pytest

from menagerie.demo import parse, scenario_of
from menagerie.scenario import user_scenario


def test_too_few_files_are_refused_with_the_right_number(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(SystemExit, match="3 to 5 references"):
        user_scenario("dog", str(tmp_path / "*.png"), "a sks dog", consent="")


def test_a_drawn_scenario_has_a_true_result_for_each_edit(tmp_path: Path) -> None:
    scenario = scenario_of(parse(["--out", str(tmp_path)]))
    assert len(scenario.references) == 4
    assert all(file.stat().st_size for file in (*scenario.references, scenario.test))
    assert all(edit.truth is not None and edit.truth.is_file() for edit in scenario.edits)
    assert len({edit.prompt for edit in scenario.edits}) == 3


@pytest.mark.parametrize("arguments", [["--subject", "unicorn"], ["--refs", "*.png"], ["--prompt", "a sks dog"]])
def test_options_that_do_not_fit_together_are_refused(arguments: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"choose from|give all of"):
        scenario_of(parse(["--out", str(tmp_path), *arguments]))
