"""API keys: shown once, stored as an HMAC, refused when mistyped, revoked or expired."""

from datetime import timedelta

import pytest

from ledger import keys
from ledger.database import UnitOfWork, now
from ledger.models import Project

PEPPER = "a pepper for tests only"


def test_a_key_authenticates_its_project(begin: UnitOfWork, project: Project) -> None:
    with begin() as session:
        key, token = keys.create(session, PEPPER, project.id, "mine", scope="write")
        owner = keys.authenticate(session, PEPPER, token)
        assert owner is not None
        assert (owner.id, owner.project_id, owner.scopes) == (key.id, project.id, ["read", "write"])
        assert token.split("_")[2].encode() not in key.digest


def test_two_live_keys_allow_rotation(begin: UnitOfWork, project: Project) -> None:
    with begin() as session:
        (old, old_token), (_, new_token) = (
            keys.create(session, PEPPER, project.id, name, scope="read") for name in ("old", "new")
        )
        assert all(keys.authenticate(session, PEPPER, token) for token in (old_token, new_token))
        assert keys.revoke(session, project.id, old.id)
        assert not keys.revoke(session, project.id, old.id)
        assert keys.authenticate(session, PEPPER, old_token) is None
        assert keys.authenticate(session, PEPPER, new_token)


def test_an_expired_key_and_another_pepper_are_refused(begin: UnitOfWork, project: Project) -> None:
    with begin() as session:
        past = now(session) - timedelta(seconds=1)
        _, expired = keys.create(session, PEPPER, project.id, "expired", scope="write", expires_at=past)
        _, good = keys.create(session, PEPPER, project.id, "good", scope="write")
        assert keys.authenticate(session, PEPPER, expired) is None
        assert keys.authenticate(session, "another pepper for tests", good) is None


def test_every_mistyped_key_is_refused(begin: UnitOfWork, project: Project) -> None:
    with begin() as session:
        _, token = keys.create(session, PEPPER, project.id, "mine", scope="write")
        for place, letter in enumerate(token):
            wrong = token[:place] + ("x" if letter != "x" else "y") + token[place + 1 :]
            assert keys.authenticate(session, PEPPER, wrong) is None


@pytest.mark.parametrize("malformed", ["", "lipe", "lipe_", "lipe__", "lipe_a_b", "Bearer x", "lipe_ü_" + "0" * 72])
def test_malformed_keys_are_refused(begin: UnitOfWork, project: Project, malformed: str) -> None:
    with begin() as session:
        assert keys.authenticate(session, PEPPER, malformed) is None


def test_a_project_revokes_only_its_own(begin: UnitOfWork, project: Project) -> None:
    with begin() as session:
        key, token = keys.create(session, PEPPER, project.id, "mine", scope="write")
        assert not keys.revoke(session, "prj_other", key.id)
        assert keys.authenticate(session, PEPPER, token)
