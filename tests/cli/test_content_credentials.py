"""Certificates by the command line, and those that `lipe up` keeps in its data folder."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.doctor.credentials import check_credentials
from cli.doctor.finding import Result
from cli.doctor.partial_settings import PartialSettings
from cli.embedded.credentials import NAMES, credentials_settings
from cli.main import app
from ledger.settings import Settings
from provenance import certificates
from provenance.certificates import read_chain
from tests.support.signed_images import local_signer


@pytest.fixture(autouse=True)
def without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No signer in the environment."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_the_command_writes_a_signer_once_and_says_what_a_real_one_needs(tmp_path: Path) -> None:
    command = ["keys", "content-credentials", "create", "--out", str(tmp_path / "new"), "--organization", "My studio"]
    made = CliRunner().invoke(app, command)
    assert made.exit_code == 0, made.output
    assert f"LIPE_CREDENTIALS_CHAIN_FILE={tmp_path}/new/chain.pem" in made.output
    assert "C2PA trust list" in made.output
    assert (tmp_path / "new" / "key.pem").stat().st_mode & 0o777 == 0o600
    key = (tmp_path / "new" / "key.pem").read_text()
    again = CliRunner().invoke(app, command)
    assert (again.exit_code, "exists" in again.output) == (2, True)
    assert (tmp_path / "new" / "key.pem").read_text() == key


def test_up_signs_by_default_and_an_empty_setting_switches_it_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = credentials_settings(tmp_path / "credentials")
    assert first == credentials_settings(tmp_path / "credentials")
    assert set(first) == set(NAMES[:2])
    monkeypatch.setenv("LIPE_CREDENTIALS_CHAIN_FILE", "")
    assert credentials_settings(tmp_path / "other") == {}


def test_up_renews_an_expired_certificate_and_keeps_the_old_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(certificates, "SIGNER_PERIOD", timedelta(minutes=1))
        credentials_settings(tmp_path / "credentials")
    old = (tmp_path / "credentials" / "chain.pem").read_text()
    renewed = credentials_settings(tmp_path / "credentials")
    assert Path(renewed["LIPE_CREDENTIALS_FORMER_FILES"]).read_text() == old
    new = read_chain(Path(renewed["LIPE_CREDENTIALS_CHAIN_FILE"]).read_text())[0]
    assert new.not_valid_after_utc > datetime.now(UTC) + timedelta(days=800)


def test_the_doctor_says_whether_results_are_signed(settings: Settings, tmp_path: Path) -> None:
    local_signer(tmp_path / "signer")
    chain, key = (str(tmp_path / "signer" / f"{name}.pem") for name in ("chain", "key"))
    expected = {
        ("", ""): (Result.UNCHECKED, "no Content Credentials"),
        (chain, key): (Result.FINE, "results are signed, until"),
        (chain, ""): (Result.FAILED, "give either"),
        ("", key): (Result.FAILED, "CHAIN_FILE is not set"),
    }
    for (chain_file, key_file), (result, text) in expected.items():
        named = {"credentials_chain_file": chain_file, "credentials_key_file": key_file}
        finding = check_credentials(PartialSettings(settings.model_copy(update=named), {}, frozenset()))
        assert (finding.result, text in finding.text) == (result, True), finding
