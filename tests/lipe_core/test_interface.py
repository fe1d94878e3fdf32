"""Both stages through `lipe_core.learn` and `lipe_core.edit` alone, as the package's docstring shows."""

import json
import subprocess
import sys
from pathlib import Path
from shutil import copytree

import pytest
from PIL import Image

import lipe_core
from lipe_core import sdxl
from lipe_core.adapters.prior import load_prior, save_prior
from lipe_core.errors import InvalidParameters
from lipe_core.methods.ddim_edit import DdimConfig
from lipe_core.methods.request import EditRequest
from lipe_core.sdxl import BaseModel
from lipe_core.subject import Subject
from lipe_core.training.config import PriorConfig
from lipe_core.training.learn import LearnRequest

SUBJECT = Subject("sks", "dog")
RECIPE = {
    "prior": {"steps": 2, "rank": 2},
    "categories": {"animal": {"rank": 3}},
    "regularization": {"count": 2, "steps": 2},
    "nima": {"steps": 3},
}


@pytest.fixture(scope="module")
def recipe_model(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    """The tiny checkpoint with a recipe."""
    folder = copytree(tiny_checkpoint, tmp_path_factory.mktemp("recipe") / "checkpoint")
    (folder / "lipe.json").write_text(json.dumps(RECIPE))
    return sdxl.load(folder)


def learn_request() -> LearnRequest:
    images = tuple(Image.new("RGB", (64, 64), colour) for colour in ("red", "blue"))
    return LearnRequest(SUBJECT, images, "animal")


def edit_request() -> EditRequest:
    image = Image.radial_gradient("L").resize((64, 64)).convert("RGB")
    targets = ("a photo of sks dog jumping", "a photo of sks dog in a meadow")
    return EditRequest(image, "a photo of sks dog sitting", targets, SUBJECT)


def test_a_prior_is_learned_and_edits_an_image_with_the_settings_of_the_recipe(
    recipe_model: BaseModel, tmp_path: Path
) -> None:
    steps: list[tuple[int, int]] = []
    prior = lipe_core.learn(
        recipe_model, learn_request(), on_step=lambda step, total, loss: steps.append((step, total))
    )
    assert steps == [(1, 2), (2, 2)]
    assert prior.manifest.config["prior"]["rank"] == 3
    assert len(prior.manifest.class_prompts) == 2
    save_prior(prior.adapter, prior.manifest, tmp_path / "prior")
    loaded = load_prior(tmp_path / "prior", recipe_model.fingerprint)
    steps.clear()
    edits = lipe_core.edit(
        recipe_model, edit_request(), prior=loaded, on_step=lambda step, total: steps.append((step, total))
    )
    assert [edit.target_prompt for edit in edits] == list(edit_request().target_prompts)
    assert [edit.image.size for edit in edits] == [(64, 64)] * 2
    assert edits[0].parameters["steps"] == 3
    assert steps[-1] == (7, 7)  # three of the inversion, three of the first pass, the last one again


def test_a_config_wins_over_the_recipe_and_another_method_can_be_chosen(recipe_model: BaseModel) -> None:
    config = PriorConfig(steps=1, rank=2, preservation_batch_size=0)
    prior = lipe_core.learn(recipe_model, learn_request(), config)
    assert (prior.manifest.config["prior"]["rank"], len(prior.manifest.losses)) == (2, 1)
    (edit, _) = lipe_core.edit(recipe_model, edit_request(), "ddim", DdimConfig(steps=2), prior=prior)
    assert edit.parameters["steps"] == 2


def test_an_unknown_method_is_refused(recipe_model: BaseModel) -> None:
    with pytest.raises(InvalidParameters, match=r"unknown method 'magic': choose from nima, .*sdedit"):
        lipe_core.edit(recipe_model, edit_request(), "magic")


def test_the_package_loads_no_network_library_before_they_are_used() -> None:
    program = "import sys, lipe_core.errors; sys.exit(bool({'torch', 'diffusers', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
    assert lipe_core.__all__ == ["edit", "learn"]
    with pytest.raises(AttributeError, match="has no attribute 'train'"):
        lipe_core.train  # noqa: B018
