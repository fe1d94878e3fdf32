"""`.env.example` lists every setting with its default; settings refuse contradictory values."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError
from pydantic_core import PydanticUndefined

from ledger.settings import Settings

EXAMPLE = Path(__file__).resolve().parents[2] / ".env.example"


def test_the_example_lists_every_setting_with_its_default() -> None:
    lines = [line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#")]
    listed = dict(line.split("=", 1) for line in lines)
    assert listed == {f"LIPE_{name.upper()}": _shown(name) for name in Settings.model_fields}


def test_the_example_says_which_settings_are_required() -> None:
    documented, comment = set(), ""
    for line in EXAMPLE.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            if "Required." in comment:
                documented.add(line.split("=")[0].removeprefix("LIPE_").lower())
            comment = ""
        else:
            comment = line
    assert documented == {name for name, field in Settings.model_fields.items() if field.is_required()}


def test_settings_come_from_the_environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in settings.model_dump().items():
        shown = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        monkeypatch.setenv(f"LIPE_{name.upper()}", shown)
    assert Settings() == settings


def test_settings_come_from_secret_files_unless_the_environment_has_them(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("database_url", "broker_url", "s3_access_key_id", "s3_secret_access_key", "key_pepper"):
        (tmp_path / f"lipe_{name}").write_text(
            "the pepper of a file\n" if name == "key_pepper" else "postgresql://a/b\n"
        )
    monkeypatch.setenv("LIPE_S3_ENDPOINT_URL", "http://s3")
    monkeypatch.setenv("LIPE_BROKER_URL", settings.broker_url)
    read = Settings(_secrets_dir=tmp_path)
    assert read.key_pepper.get_secret_value() == "the pepper of a file"
    assert read.database_url == "postgresql+psycopg://a/b"
    assert read.broker_url == settings.broker_url


@pytest.mark.parametrize(
    "wrong",
    [
        {"database_url": "mysql://somewhere/db"},
        {"key_pepper": "short"},
        {"max_attempts": "many"},
        {"prompt_writer_url": "https://api.example.com/v1"},
        {"prompt_writer_url": "https://api.example.com/v1", "prompt_writer_model": " "},
        {"prompt_writer_url": "api.example.com/v1", "prompt_writer_model": "m"},
        {"prompt_writer_url": "http://localhost:port/v1", "prompt_writer_model": "m"},
        {"prompt_writer_timeout_seconds": "0"},
        {"queue_deadline_seconds": "0"},
        {"policy_url": "https://policy.internal/decide"},
        {"policy_url": "https://policy.internal/decide", "policy_secret": "whsec_c2hvcnQ="},
        {"policy_url": "policy.internal/decide", "policy_secret": "whsec_" + "A" * 32},
        {"policy_fails": "never"},
        {"public_url": "lipe.example.com"},
        {"public_url": "ftp://lipe.example.com"},
        {"public_url": "https://lipe.example.com/?a=1"},
        {"public_url": "https://user:word@lipe.example.com"},
        {"cors_origins": "*"},
        {"cors_origins": "https://*.example.com"},
        {"cors_origins": "https://app.example.com/"},
        {"cors_origins": "https://app.example.com,app2.example.com"},
        {"cors_origins": "https://App.example.com"},
        {"cors_origins": "http://localhost:port"},
        {"cors_origins": "null"},
        {"webhook_file_seconds": "604801"},
    ],
)
def test_a_contradictory_value_is_refused(settings: Settings, wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Settings(**{**settings.model_dump(), **wrong})


def test_origins_are_a_list_and_a_base_url_has_no_slash_at_its_end(settings: Settings) -> None:
    given = {"cors_origins": "https://app.example.com, http://localhost:5173,", "public_url": "https://a.example/lipe/"}
    accepted = Settings(**{**settings.model_dump(), **given})
    assert accepted.allowed_origins == ["https://app.example.com", "http://localhost:5173"]
    assert accepted.public_url == "https://a.example/lipe"


def test_a_wrong_origin_is_named(settings: Settings) -> None:
    with pytest.raises(ValidationError, match=r"'https://app.example.com/x' is no origin: list each as scheme, host"):
        Settings(**{**settings.model_dump(), "cors_origins": "http://localhost:5173,https://app.example.com/x"})


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/v1", "https://api.example.com/v1"])
def test_a_complete_prompt_writer_is_accepted(settings: Settings, url: str) -> None:
    named = {"prompt_writer_url": url, "prompt_writer_model": "m"}
    assert Settings(**{**settings.model_dump(), **named}).prompt_writer_url == url


def test_secrets_are_not_shown(settings: Settings) -> None:
    keyed = settings.model_copy(update={"prompt_writer_key": SecretStr("sk-secret")})
    assert settings.s3_secret_access_key.get_secret_value() not in repr(keyed)
    assert "sk-secret" not in repr(keyed)


def test_a_refusal_shows_no_secrets(settings: Settings) -> None:
    plain = {"prompt_writer_key": "sk-secret", "prompt_writer_url": "nowhere"}
    for wrong in (plain, {"key_pepper": "sk-secret"}):
        with pytest.raises(ValidationError) as refusal:
            Settings(**{**settings.model_dump(), **wrong})
        assert "sk-secret" not in str(refusal.value)


def _shown(name: str) -> str:
    default = Settings.model_fields[name].default
    if default is PydanticUndefined:
        return ""
    return str(default).lower() if isinstance(default, bool) else str(default)
