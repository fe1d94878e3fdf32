"""`lipe bench run` on a tiny model, from photos to the page."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from benchmarks.package_photos import write_folder
from cli.kit.command import choose_systems
from cli.kit.systems import SYSTEMS, sweep
from cli.kit.vision_judge import NoVerdict, judge
from cli.main import app
from lipe_core.methods.registry import METHODS
from tests.support.chat import Chat, serving
from tests.support.checkout import ROOT
from tests.support.tiny_checkpoint import write_checkpoint
from tests.support.tiny_judges import write_clip, write_dinov2
from tests.support.tiny_klein import write_klein

PHOTOS = ROOT / "tests" / "support" / "photos"
RECIPE = {
    "prior": {"steps": 2}, "regularization": {"count": 1, "steps": 2}, "nima": {"steps": 3}, "ddim": {"steps": 2},
    "reference_tokens": {"steps": 2},
}  # fmt: skip
YES = {"done": True, "same": True, "whole": False}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_checkpoint(folder / "sdxl")
    write_klein(folder / "klein")
    for backbone in ("sdxl", "klein"):
        (folder / backbone / "lipe.json").write_text(json.dumps(RECIPE))
    write_clip(folder / "clip")
    write_dinov2(folder / "dinov2")
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One subject. Its photo is larger than the tiny model's images."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "rex" / "references").mkdir(parents=True)
    draw = np.random.default_rng(0)
    for name in ("references/a.png", "references/b.png", "references/c.png", "test.png"):
        Image.fromarray(draw.integers(0, 256, (90, 120, 3), dtype=np.uint8)).save(folder / "rex" / name)
    (folder / "rex" / "edits.yaml").write_text("class_noun: dog\nedits: [a photo of dog jumping]\n")
    return folder


@pytest.fixture(scope="module")
def chat() -> "object":
    with serving() as server:
        yield server


def bench(photos: Path, models: Path, out: Path, *options: str, base_model: str = "sdxl") -> Result:
    judges = ["--clip", str(models / "clip"), "--dinov2", str(models / "dinov2")]
    command = [
        "bench",
        "run",
        str(photos),
        "--base-model",
        str(models / base_model),
        "--out",
        str(out),
        *judges,
        *options,
    ]
    return CliRunner().invoke(app, command)


def test_a_bench_writes_its_report_and_is_not_repeated(photos: Path, models: Path, tmp_path: Path, chat: Chat) -> None:
    options = "--systems", "lipe; ddim", "--judge-url", chat.endpoint.base_url, "--judge-model", "tiny"
    chat.plays({"content": YES}, {"content": {**YES, "whole": True}})
    made = bench(photos, models, tmp_path, *options)
    assert made.exit_code == 0, made.output
    assert "1 trainings and 2 edits to make" in made.output
    rows = json.loads((tmp_path / "table.json").read_text())
    assert [(row["system"], row["clean"]) for row in rows] == [("lipe", False), ("ddim", True)]
    assert rows[0]["changed_outside"] == 0
    assert -1 <= rows[0]["dinov2_i"] <= 1
    assert "2406.17236" in (tmp_path / "table.md").read_text()
    page = (tmp_path / "index.html").read_text()
    assert '<img src="sheets/rex.jpg"' in page
    with Image.open(tmp_path / "sheets" / "rex.jpg") as sheet:
        assert sheet.width > 4 * 320
    chat.plays()  # another question would fail
    again = bench(photos, models, tmp_path, *options)
    assert again.exit_code == 0, again.output
    assert "0 trainings and 0 edits to make" in again.output
    assert json.loads((tmp_path / "table.json").read_text()) == rows


# Autocast on the CPU gives torch's RMS norm bfloat16 for float32 weights, so that it takes a slower kernel.
@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight:UserWarning")
def test_a_bench_of_a_klein_leaves_the_methods_for_sdxl_out(photos: Path, models: Path, tmp_path: Path) -> None:
    systems = "lipe; masactrl; ddim; reference tokens, with prior"
    made = bench(photos, models, tmp_path, "--systems", systems, base_model="klein")
    assert made.exit_code == 0, made.output
    assert "not made for klein, a base model of the family flux2: masactrl" in made.output
    assert "1 trainings and 3 edits to make" in made.output
    rows = json.loads((tmp_path / "table.json").read_text())
    assert [row["system"] for row in rows] == ["lipe", "ddim", "reference tokens, with prior"]
    alone = bench(photos, models, tmp_path, "--systems", "masactrl", base_model="klein")
    assert alone.exit_code == 1
    assert "not made for klein, a base model of the family flux2: masactrl" in alone.stderr


def test_an_estimate_makes_nothing(photos: Path, models: Path, tmp_path: Path) -> None:
    result = bench(photos, models, tmp_path / "out", "--estimate", "--price-per-hour", "2", "--systems", "all")
    assert result.exit_code == 0, result.output
    usable = [name for name in SYSTEMS if not name.startswith("reference tokens")]  # made for klein
    assert f"1 trainings and {len(usable)} edits" in result.output
    assert "at 2 an hour" in result.output
    assert not (tmp_path / "out").exists()


def test_a_real_photograph_keeps_its_bytes_outside_the_mask(models: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(PHOTOS / "chelsea.jpg", photos / "chelsea.png")  # a JPEG by its content
    write_folder(photos, tmp_path / "folder", ("cat",))
    made = bench(tmp_path / "folder", models, tmp_path / "out", "--systems", "lipe")
    assert made.exit_code == 0, made.output
    (row,) = json.loads((tmp_path / "out" / "table.json").read_text())
    assert (row["prompt"], row["changed_outside"]) == ("a photo of a sks cat with its mouth open", 0)
    (folder,) = (tmp_path / "out" / "runs" / "cat").iterdir()
    edited, mask, photo = (
        np.asarray(Image.open(file))
        for file in (folder / "image-0.png", folder / "edit_mask-0.png", photos / "chelsea.png")
    )
    assert edited.shape == photo.shape == (300, 451, 3)
    differs = (edited != photo).any(axis=2)
    assert 0.4 < (mask == 0).mean() < 0.9
    assert differs[mask > 0].any()
    assert not differs[mask == 0].any()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--dtype", "int8"], "there is no dtype int8: choose from bfloat16"),
        (["--systems", "lipe; magic"], "unknown systems magic: choose from lipe;"),
        (["--systems", " "], "no system is named"),
        (["--judge-url", "ftp://x", "--judge-model", "m"], "must begin with http:// or https://"),
        (["--judge-url", "http://x"], "name a model"),
        (["--dinov2", "clip"], "DINOv2"),
    ],
)
def test_a_mistake_is_one_sentence(
    photos: Path, models: Path, tmp_path: Path, options: list[str], sentence: str
) -> None:
    options = [str(models / "clip") if option == "clip" else option for option in options]
    result = bench(photos, models, tmp_path, *options)
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert "Traceback" not in result.output


def test_all_systems_have_settings_that_their_methods_accept() -> None:
    from dataclasses import replace

    from lipe_core.training.config import PriorConfig

    for name, system in {**SYSTEMS, **sweep()}.items():
        assert system.method in METHODS, name
        replace(METHODS[system.method].config(), **system.changes)
        replace(PriorConfig(), **(system.training or {}))
    assert set(choose_systems("all")) == set(SYSTEMS)
    assert "lipe" in choose_systems("sweep")


@pytest.mark.parametrize(
    "step",
    [
        {"content": "no JSON"},
        {"content": {"done": True}},
        {"content": {**YES, "same": "yes"}},
        {"error": "no such model", "status": 404},
        {"raw": "[]"},
    ],
)
def test_an_answer_without_a_verdict_is_an_error(chat: Chat, step: dict[str, object]) -> None:
    image = Image.new("RGB", (8, 8))
    chat.plays(step)
    with pytest.raises(NoVerdict):
        judge(chat.endpoint, "a photo of sks dog", image, [image] * 3, image)


def test_the_judge_sees_the_photo_two_references_and_the_edit(chat: Chat) -> None:
    image = Image.new("RGB", (2000, 1000))
    chat.plays({"content": YES})
    verdict = judge(chat.endpoint, "a photo of sks dog", image, [image] * 3, image)
    assert not verdict.is_clean
    (request,) = chat.requests
    question = request["body"]["messages"][-1]["content"]
    assert [part["type"] for part in question].count("image_url") == 4
    assert "a photo of sks dog" in json.dumps(question)
