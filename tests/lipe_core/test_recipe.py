import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lipe_core import recipes
from lipe_core.errors import InvalidParameters, InvalidRecipe
from lipe_core.methods.ddim_edit import DdimConfig
from lipe_core.methods.nima.config import NimaConfig
from lipe_core.methods.sdedit import SdeditConfig
from lipe_core.recipe import load_recipe
from lipe_core.training.config import PriorConfig
from lipe_core.training.regularization import RegularizationConfig
from menagerie.models import CHECKPOINT


def written(folder: Path, **recipe: dict) -> Path:
    (folder / "lipe.json").write_text(json.dumps(recipe))
    return folder


def test_the_request_replaces_the_recipe_and_the_recipe_the_defaults(tmp_path: Path) -> None:
    recipe = load_recipe(
        written(
            tmp_path,
            prior={"steps": 7, "rank": 3, "mirror": True},
            categories={"person": {"mirror": False, "rank": 4}},
            nima={"margin": 0.1, "mask_mode": "source"},
            ddim={"steps": 9},
        )
    )
    assert recipe.prior_config("animal", {"rank": 5}) == PriorConfig(steps=7, rank=5, mirror=True)
    assert recipe.prior_config("person") == PriorConfig(steps=7, rank=4)
    assert recipe.prior_config("person", {"mirror": True}) == PriorConfig(steps=7, rank=4, mirror=True)
    assert recipe.method_config("nima") == NimaConfig(margin=0.1, mask_mode="source")
    assert recipe.method_config("ddim", {"guidance_scale": 2.0}) == DdimConfig(steps=9, guidance_scale=2.0)
    assert recipe.method_config("sdedit") == SdeditConfig()
    assert recipe.regularization_config() == RegularizationConfig()


def test_a_folder_without_a_recipe_and_a_hub_id_have_the_defaults(tmp_path: Path) -> None:
    assert load_recipe(tmp_path).prior_config("object") == PriorConfig()
    assert load_recipe("studio/sdxl").method_config("nima", {"steps": 3}) == NimaConfig(steps=3)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({"step": 3}, "unknown parameters step"), ({"steps": 0}, "steps"), ({"steps": "many"}, "many")],
)
def test_invalid_parameters_are_named(tmp_path: Path, parameters: dict, message: str) -> None:
    with pytest.raises(InvalidParameters, match=message):
        load_recipe(tmp_path).prior_config("object", parameters)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("{", "Expecting"),
        ("[]", "not objects"),
        ('{"priors": {}}', "unknown sections priors"),
        ('{"prior": []}', "not objects"),
        ('{"prior": {"step": 3}}', "unknown parameters step"),
        ('{"nima": {"renoise": 2}}', "renoise"),
        ('{"categories": []}', "not objects"),
        ('{"categories": {"people": {"mirror": false}}}', "unknown categories people"),
        ('{"categories": {"person": {"mirrored": false}}}', "unknown parameters mirrored"),
    ],
)
def test_an_invalid_recipe_is_named(tmp_path: Path, recipe: str, message: str) -> None:
    (tmp_path / "lipe.json").write_text(recipe)
    with pytest.raises(InvalidRecipe, match=rf"lipe\.json.*{message}"):
        load_recipe(tmp_path)


@pytest.mark.parametrize(
    ("checkpoint", "name"),
    [
        ("stabilityai/stable-diffusion-xl-base-1.0", "sdxl-base"),
        ("/models/stable-diffusion-xl-base-1.0/", "sdxl-base"),
        ("studio/photos-xl", "sdxl-fine-tune"),
        (CHECKPOINT, "miniature"),
        ("black-forest-labs/FLUX.2-klein-base-4B", "flux2-klein-base"),
    ],
)
def test_a_recipe_is_chosen_by_the_base_model(checkpoint: str | Path, name: str) -> None:
    assert recipes.recipe_name(checkpoint) == name


def test_the_name_in_the_index_tells_sdxl_base(tmp_path: Path) -> None:
    index = {"_name_or_path": "stabilityai/stable-diffusion-xl-base-1.0"}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    assert recipes.recipe_name(tmp_path) == "sdxl-base"


def test_the_pipelines_class_tells_flux(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "Flux2KleinPipeline"}))
    assert recipes.recipe_name(tmp_path) == "flux2-klein-base"
    assert load_recipe(tmp_path).prior_config("animal").min_snr_gamma == 0  # the loss of a flow counts all levels alike
    shutil.copy(CHECKPOINT / "README.md", tmp_path)  # the tag of a miniature: its recipe is that of SDXL's
    assert recipes.recipe_name(tmp_path) == "flux2-klein-base"


def test_the_miniatures_recipe_comes_from_its_tag_and_its_folder_replaces_single_values(tmp_path: Path) -> None:
    shutil.copy(CHECKPOINT / "README.md", tmp_path)
    assert load_recipe(tmp_path) == load_recipe(CHECKPOINT)
    assert load_recipe(tmp_path).prior_config("animal").steps == 60
    recipe = load_recipe(written(tmp_path, prior={"steps": 7, "mirror": True}, nima={"margin": 0.1}))
    assert recipe.prior_config("animal") == replace(load_recipe(CHECKPOINT).prior_config("animal"), steps=7)
    assert recipe.prior_config("person").mirror  # the folder's own word for all categories counts
    assert recipe.method_config("nima").margin == 0.1


def test_the_setting_stands_above_the_folder(tmp_path: Path) -> None:
    folder = written(tmp_path, nima={"margin": 0.1, "feather": 0.1})
    file = tmp_path / "studio.json"
    file.write_text(json.dumps({"nima": {"margin": 0.2}}))
    assert load_recipe(folder, str(file)).method_config("nima") == NimaConfig(margin=0.2, feather=0.1)
    assert load_recipe("studio/sdxl", str(file)).method_config("nima") == NimaConfig(margin=0.2)
    named = load_recipe(folder, "miniature")
    assert (named.prior_config("animal").steps, named.method_config("nima").margin) == (60, 0.1)


@pytest.mark.parametrize(("override", "message"), [("sdxl", "neither a file nor one of sdxl-base"), ("{}", "neither")])
def test_a_setting_that_names_nothing_is_refused(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(InvalidRecipe, match=message):
        load_recipe(tmp_path, override)
    (tmp_path / "wrong.json").write_text("[]")
    with pytest.raises(InvalidRecipe, match=r"wrong\.json.*not objects"):
        load_recipe(tmp_path, str(tmp_path / "wrong.json"))
