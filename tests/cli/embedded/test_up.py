"""The parts of `lipe up` that need no whole service. `tests/service/test_up.py` starts it."""

from pathlib import Path

from cli.embedded.up import api_is_ready, is_miniature
from ledger.models import Project
from tests.support.api_fixtures import NewKey

ROOT = Path(__file__).parents[3]


def test_the_api_of_another_service_is_not_ready(server: str, project: Project, new_key: NewKey) -> None:
    key = new_key(project)
    assert api_is_ready(server, key)()
    assert not api_is_ready(server, key[:-1])()


def test_the_packaged_miniature_is_known(tmp_path: Path) -> None:
    assert is_miniature(str(ROOT / "menagerie" / "checkpoint"))
    assert not is_miniature(str(tmp_path))
    assert not is_miniature("stabilityai/stable-diffusion-xl-base-1.0")
