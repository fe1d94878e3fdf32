from dataclasses import asdict
from typing import Any

import pytest

from lipe_core import recipes
from lipe_core.errors import InvalidRequest
from lipe_core.methods.nima.config import NimaConfig
from lipe_core.recipe import load_recipe
from menagerie.models import CHECKPOINT


@pytest.mark.parametrize(
    "settings",
    [
        {"steps": 0},
        {"guidance_scale": -1.0},
        {"renoise": -0.1},
        {"renoise": 1.1},
        {"margin": -0.01},
        {"margin": 0.6},
        {"source_attention_start": 1.5},
        {"reconstruction_steps": -1},
        {"reconstruction_steps": 101},
        {"feather": 0.6},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=next(iter(settings))):
        NimaConfig(**settings)


def test_there_are_few_settings_and_the_miniature_needs_few_of_its_own() -> None:
    defaults = asdict(NimaConfig())
    assert len(defaults) <= 14
    own = recipes.shipped(recipes.MINIATURE).get("nima", {})
    assert len(own) <= 4
    assert all(defaults[name] != value for name, value in own.items())
    assert asdict(load_recipe(CHECKPOINT).method_config("nima")) == defaults | own
