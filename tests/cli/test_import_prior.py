"""`lipe import-prior` against a real server: a new or an existing subject gets the prior; a refusal leaves nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner, Result

from cli.main import app
from lipe_client import Client
from tests.support.uploads import png

pytestmark = pytest.mark.usefixtures("service_environment")


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    """A file with the header of a LoRA."""
    file = tmp_path / "bear.safetensors"
    save_file({"lora_unet_x.lora_up.weight": np.zeros((2, 2), np.float32)}, file)
    return file


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Three images of the subject."""
    files = [tmp_path / f"{colour}.png" for colour in ("red", "green", "blue")]
    for file in files:
        file.write_bytes(png(file.stem))
    return files


def test_a_new_and_an_existing_subject_get_the_prior(lipe: Client, lora: Path, images: list[Path]) -> None:
    first = run(lora, *images, "--class", "bear", "--token", "ohwx", "--no-wait")
    assert first.exit_code == 0, first.output
    (subject,) = lipe.subjects()
    assert (subject.class_noun, subject.token) == ("bear", "ohwx")
    second = run(lora, "--subject", subject.id, "--no-wait")
    assert second.exit_code == 0, second.output
    newest, oldest = lipe.priors(subject)
    assert first.stdout == f"subject {subject.id}\nprior {oldest.id}\n"
    assert second.stdout == f"subject {subject.id}\nprior {newest.id}\n"


def test_a_refused_file_leaves_no_subject_and_no_images(lipe: Client, tmp_path: Path, images: list[Path]) -> None:
    (tmp_path / "bear.ckpt").write_bytes(b"PK\x03\x04" * 20)
    refused = run(tmp_path / "bear.ckpt", *images, "--class", "bear")
    assert (refused.exit_code, "lora_invalid: " in refused.stderr) == (1, True), refused.output
    assert (list(lipe.subjects()), list(lipe.images())) == ([], [])


def test_options_that_contradict_each_other_are_refused(lora: Path, images: list[Path]) -> None:
    for arguments, message in (
        ((lora,), "give either images"),
        ((lora, *images), "give either images"),
        ((lora, "--subject", "sub_1", "--not-a-person"), "belong to a new subject"),
        ((Path("none.safetensors"), "--subject", "sub_1"), "does not exist"),
    ):
        result = run(*arguments)
        assert (result.exit_code, message in result.stderr) == (2, True), result.output


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(app, ["import-prior", *map(str, arguments)], env={"COLUMNS": "300"})
