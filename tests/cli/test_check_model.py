"""`lipe check-model`: one line that says whether LIPE can use a base model."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from tests.support.layouts import UNET, Change, scheduler, truncated
from tests.support.tiny_klein import write_klein


def test_a_checkpoint_and_a_hub_id_are_accepted(checkpoint: Path) -> None:
    for name, answer in ((str(checkpoint), "is a base model that LIPE can use"), ("org/name", "after the download")):
        result = run(name)
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout.endswith(f"{answer}\n")


def test_the_default_is_the_setting(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPE_BASE_MODEL", str(checkpoint))
    assert run().stdout == f"{checkpoint} is a base model that LIPE can use\n"


@pytest.mark.parametrize(
    ("change", "sentence"), [(scheduler("LCMScheduler"), "few-step model"), (truncated(UNET), "its end is missing")]
)
def test_a_wrong_model_is_refused_in_one_line(change: Change, sentence: str, checkpoint: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(checkpoint, tmp_path / "model")
    change(folder)
    result = run(str(folder))
    assert (result.exit_code, result.stdout) == (1, "")
    assert sentence in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_force_accepts_a_distilled_klein_with_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_klein(tmp_path, is_distilled=True)
    refused = run(str(tmp_path))
    assert (refused.exit_code, refused.stdout) == (1, "")
    forced = run(str(tmp_path), "--force")
    assert (forced.exit_code, forced.stdout) == (0, f"{tmp_path} is a base model that LIPE can use\n")
    assert "neither trains nor inverts well: expect poor priors and edits" in forced.stderr
    monkeypatch.setenv("LIPE_ALLOW_DISTILLED", "true")  # as `lipe up --force` sets it for its check
    assert run(str(tmp_path)).stderr == forced.stderr


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["check-model", *arguments])
