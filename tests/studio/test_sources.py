"""The sources of the studio: types, style, unit tests, and a lock file that works with every registry."""

import os
import subprocess
import sys

import pytest

from tests.support.checkout import ROOT

WEB = ROOT / "web"


def test_the_types_fit_the_contract_and_the_unit_tests_pass() -> None:
    if not (WEB / "node_modules" / ".installed").is_file():
        pytest.skip("the packages of web/ are not installed: make studio")
    environment = {**os.environ, "VENV": sys.prefix}
    checked = subprocess.run([WEB / "npm.sh", "check"], env=environment, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_lock_file_names_no_registry() -> None:
    assert '"resolved"' not in (WEB / "package-lock.json").read_text()
