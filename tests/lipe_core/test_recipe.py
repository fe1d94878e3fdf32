import json
from pathlib import Path

import pytest

from lipe_core.errors import InvalidParameters, InvalidRecipe
from lipe_core.methods.ddim_edit import DdimConfig
from lipe_core.methods.nima.config import NimaConfig
from lipe_core.methods.sdedit import SdeditConfig
from lipe_core.recipe import load_recipe
from lipe_core.training.config import PriorConfig
from lipe_core.training.regularization import RegularizationConfig


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
