"""The Celery application: the settings that it refuses, and the parent process without torch."""

import subprocess
import sys

import pytest
from pydantic import SecretStr

from ledger.notify import QUEUES
from ledger.settings import Settings
from worker.app import make_app, serve


@pytest.fixture(autouse=True)
def environment(server_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of the embedded servers, without a base model."""
    for name, value in server_settings.model_dump().items():
        shown = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        monkeypatch.setenv(f"LIPE_{name.upper()}", shown)


@pytest.mark.parametrize(
    ("queues", "reason"),
    [(["edit"], "no queue edit"), (["edits", "webhooks"], "of their own"), (["priors"], "LIPE_BASE_MODEL")],
)
def test_a_worker_with_unusable_queues_or_settings_does_not_start(queues: list[str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        serve(queues)


def test_every_notification_has_a_task_and_a_queue(server_settings: Settings) -> None:
    app = make_app(server_settings)
    app.finalize()
    tasks = {name for name in app.tasks if not name.startswith("celery.")}
    assert tasks == set(QUEUES)
    assert {name: app.amqp.router.route({}, name)["queue"].name for name in tasks} == QUEUES


def test_the_parent_process_imports_no_torch() -> None:
    program = """
import sys
from ledger.settings import Settings
from worker.app import make_app
make_app(Settings())
import worker.dispatcher
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
