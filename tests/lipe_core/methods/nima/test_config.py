import pytest

from lipe_core.errors import InvalidRequest
from lipe_core.methods.nima.config import NimaConfig


@pytest.mark.parametrize(
    "settings",
    [
        {"strength": 0},
        {"strength": 1.5},
        {"renoise": -0.1},
        {"map_window": (0.5, 0.2)},
        {"blend_stop": 2.0},
        {"looks": (0.5, 0.0)},
        {"snap": -1},
        {"snap": 0.26},
        {"coverage": -0.1},
        {"coverage": 1.0},
        {"grabcut_rounds": -1},
        {"opening": 0.11},
        {"halo": -0.1},
        {"reconstruction_steps": -1},
        {"tolerance": -0.1},
        {"tolerance": 2.0},
    ],
)
def test_contradictory_settings_are_refused(settings: dict) -> None:
    with pytest.raises(InvalidRequest):
        NimaConfig(**settings)
