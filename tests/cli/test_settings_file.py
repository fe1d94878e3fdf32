"""Commands find the service of a `lipe up`: by --data, else by the environment, else in the folder `data`."""

from pathlib import Path

import pytest
import typer
from pydantic import ValidationError

from cli.service import LOCAL_URL, find_service
from cli.settings_file import as_exports, find_settings, read_exports

VARIABLES = {
    "LIPE_URL": "http://127.0.0.1:1", "LIPE_API_KEY": "lipe_of_folder", "LIPE_KEY_PEPPER": "a pepper with 'quotes' = 1",
    "LIPE_DATABASE_URL": "postgresql://folder/db", "LIPE_BROKER_URL": "redis://b", "LIPE_S3_ENDPOINT_URL": "http://s",
    "LIPE_S3_ACCESS_KEY_ID": "id", "LIPE_S3_SECRET_ACCESS_KEY": "two\nlines",
}  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the data folder of a running `lipe up`, and no variables."""
    monkeypatch.chdir(tmp_path)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "settings.sh").write_text(as_exports(VARIABLES))
    return tmp_path / "data"


def test_what_is_written_is_read(folder: Path) -> None:
    assert read_exports(folder / "settings.sh") == VARIABLES
    assert read_exports(folder / "none") == {}


def test_the_default_folder_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_service(None, "", None) == ("http://127.0.0.1:1", "lipe_of_folder")
    assert find_settings(None).database_url == "postgresql+psycopg://folder/db"
    monkeypatch.chdir(folder)
    assert find_service(None, "", None) == (LOCAL_URL, "")
    with pytest.raises(ValidationError):
        find_settings(None)


def test_options_and_environment_come_before_the_default_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_service("http://other", "", None) == ("http://other", "")  # its key goes to no other service
    assert find_service(None, "lipe_other", None) == (LOCAL_URL, "lipe_other")
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LIPE_DATABASE_URL", "postgresql://environment/db")
    assert find_settings(None).database_url == "postgresql+psycopg://environment/db"


def test_a_named_folder_comes_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPE_DATABASE_URL", "postgresql://environment/db")
    assert find_service("http://other", "lipe_other", folder) == ("http://127.0.0.1:1", "lipe_of_folder")
    assert find_settings(folder).database_url == "postgresql+psycopg://folder/db"


def test_a_folder_without_a_service_is_refused(tmp_path: Path) -> None:
    for find in (lambda data: find_service(None, "", data), find_settings):
        with pytest.raises(typer.BadParameter, match="start it with `lipe up --data"):
            find(tmp_path / "none")
