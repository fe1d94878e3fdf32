"""The service's programs as real processes over the embedded servers, on the tiny checkpoint."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from subprocess import Popen

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine

from cli.embedded.process import running
from cli.embedded.up import lipe_command
from ledger.roles import Program
from ledger.settings import Settings
from tests.support.checkout import PYTHON_PATH, ROOT


@pytest.fixture
def settings(settings: Settings, checkpoint: Path) -> Settings:
    """The tiny checkpoint. Leases are longer than a loaded machine delays a renewal; tests let them expire."""
    return settings.model_copy(
        update={"base_model": str(checkpoint), "device": "cpu", "lease_seconds": 120.0, "stranded_seconds": 1.0}
    )


@pytest.fixture
def program(
    settings: Settings, engine: Engine, tmp_path: Path, program_urls: dict[Program, str]
) -> Iterator[Callable[..., Popen[bytes]]]:
    """`program("worker", "--queues", "priors")` starts a program under its database role, until the test ends.

    Keywords are variables of its environment.
    """
    with ExitStack() as stack:
        yield lambda *arguments, **changes: stack.enter_context(
            running(
                lipe_command(*arguments),
                tmp_path / "-".join((*arguments, str(len(list(tmp_path.iterdir()))))).replace("/", "_"),
                environment=_environment(settings) | {"LIPE_DATABASE_URL": program_urls[_role(arguments)]} | changes,
                cwd=ROOT,
                is_ready=lambda: True,
            )
        )


def _role(arguments: tuple[str, ...]) -> Program:
    """The program that a command starts."""
    for program in ("webhooks", "api", "dispatcher"):
        if program in arguments:
            return program
    return "worker"


def _environment(settings: Settings) -> dict[str, str]:
    values = {
        f"LIPE_{name.upper()}": value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in settings.model_dump().items()
    }
    return {**values, "PYTHONPATH": PYTHON_PATH, "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
