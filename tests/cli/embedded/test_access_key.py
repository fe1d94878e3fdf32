"""`lipe up` makes one key, keeps it in the data folder, and replaces it only if it is not valid any more."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import delete

from cli.embedded.access_key import ensure_key
from ledger import keys, projects
from ledger.database import UnitOfWork
from ledger.models import ApiKey
from ledger.settings import Settings


def test_a_key_is_made_once_and_only_its_owner_can_read_it(
    begin: UnitOfWork, settings: Settings, tmp_path: Path
) -> None:
    first, second = ensure_key(tmp_path, settings), ensure_key(tmp_path, settings)
    assert (first.origin, second.origin) == ("new", "kept")
    assert second.token == first.token == first.file.read_text().strip()
    assert first.file.parent == tmp_path
    assert first.file.stat().st_mode & 0o777 == 0o600
    with begin() as session:
        assert keys.authenticate(session, settings.key_pepper.get_secret_value(), first.token)
        project = projects.by_name(session, "default")
        assert project
        assert [key.name for key in keys.of_project(session, project.id)] == ["lipe up"]


def revoke(begin: UnitOfWork, file: Path) -> None:
    with begin() as session:
        project = projects.by_name(session, "default")
        assert project
        assert keys.revoke(session, project.id, file.read_text().split("_")[1])


def forget(begin: UnitOfWork, file: Path) -> None:
    with begin() as session:
        session.execute(delete(ApiKey))


def damage(begin: UnitOfWork, file: Path) -> None:
    file.write_bytes(b"\xff\x00 lipe")


@pytest.mark.parametrize("spoil", [revoke, forget, damage])
def test_a_key_that_is_not_valid_any_more_is_replaced(
    spoil: Callable[[UnitOfWork, Path], None], begin: UnitOfWork, settings: Settings, tmp_path: Path
) -> None:
    old = ensure_key(tmp_path, settings)
    spoil(begin, old.file)
    new = ensure_key(tmp_path, settings)
    assert new.origin == "replaced"
    assert new.token != old.token
    assert new.file.stat().st_mode & 0o777 == 0o600
    assert ensure_key(tmp_path, settings) == new._replace(origin="kept")
