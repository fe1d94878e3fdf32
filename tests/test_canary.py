"""The canary finds secrets in logs, and only there."""

import pytest

from ledger import keys, projects
from ledger.database import UnitOfWork
from ledger.webhook_secrets import new_secret
from tests.support.canary import Canary


def report(title: str, text: str) -> pytest.TestReport:
    return pytest.TestReport("a test", ("file", 1, "a test"), {}, "passed", None, "call", sections=[(title, text)])


def test_a_log_with_a_secret_fails_its_test(begin: UnitOfWork) -> None:
    canary = Canary()
    with canary.recording(), begin() as session:
        project = projects.create(session, "test")
        key, token = keys.create(session, "a pepper for tests", project.id, "key", scope="read")
    for title in ("Captured log call", "Captured stderr setup"):
        for secret in (token, *project.webhook_secrets):
            leaking = report(title, f"INFO  GET /v1/jobs {secret} 200")
            canary.check(leaking)
            assert leaking.outcome == "failed"
            assert secret not in str(leaking.longrepr)
    for harmless in (
        report("Captured stdout call", token),
        report("Captured log call", f"key {key.id} {new_secret()}"),
    ):
        canary.check(harmless)
        assert harmless.outcome == "passed"
