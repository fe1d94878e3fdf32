"""The chart's own small programs: PgBouncer's configuration, which the real one reads, and the download of models."""

import json
import os
import pwd
import shutil
import subprocess
import sys
import types
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from cli.embedded.process import on_free_port, running
from ledger.roles import PROGRAMS, Program
from ledger.settings import Settings
from tests.deploy.chart_values import CASES, SDXL
from tests.support.chart import CHART, Manifest, needs_helm, pods, render

PGBOUNCER = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
UNPRIVILEGED = pwd.getpwuid(65534).pw_name


def environment(container: Manifest) -> dict[str, str]:
    """The variables of a container that have a value."""
    return {one["name"]: one["value"] for one in container["env"] if "value" in one}


def configure(tmp_path: Path, urls: Mapping[str, str], **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the init container's program on these URLs, as the chart starts it."""
    (container,) = pods(render(CASES["pooled"]))["pgbouncer"]["spec"]["initContainers"]
    secrets, folder = tmp_path / "secrets", tmp_path / "pgbouncer"
    secrets.mkdir()
    folder.mkdir()
    for name, url in urls.items():
        (secrets / f"{name}_database_url").write_text(f"{url}\n")
    own = {"SECRETS_DIR": str(secrets), "CONFIGURATION_DIR": str(folder), **variables}
    command = [sys.executable, *container["command"][1:], *container["args"]]
    return subprocess.run(
        command, env=os.environ | environment(container) | own, capture_output=True, text=True, check=False
    )


def query(url: str) -> str:
    """The user that the server sees."""
    with psycopg.connect(url, connect_timeout=5, prepare_threshold=None) as connection:
        row = connection.execute("SELECT current_user").fetchone()
    assert row is not None
    return str(row[0])


@needs_helm
@pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed")
def test_the_real_pgbouncer_lets_every_program_through(
    tmp_path: Path, settings: Settings, program_urls: dict[Program, str]
) -> None:
    urls: dict[str, str] = {"lipe": settings.database_url} | {name: program_urls[name] for name in PROGRAMS}

    def start(port: int) -> Any:
        for name in ("secrets", "pgbouncer"):
            shutil.rmtree(tmp_path / name, ignore_errors=True)
        done = configure(tmp_path, urls, PORT=str(port), SERVER_TLS="disable")
        assert done.returncode == 0, done.stderr
        for path in (*tmp_path.parents, tmp_path, tmp_path / "pgbouncer"):
            with suppress(PermissionError):
                path.chmod(path.stat().st_mode | 0o011)
        for file in (tmp_path / "pgbouncer").iterdir():
            file.chmod(0o644)
            if not keeps_statements():
                file.write_text(file.read_text().replace("max_prepared_statements = 200\n", ""))
        command = [str(PGBOUNCER), str(tmp_path / "pgbouncer/pgbouncer.ini")]
        user = ["-u", UNPRIVILEGED] if os.geteuid() == 0 else []
        through = make_url(program_urls["api"]).set(drivername="postgresql", port=port)
        text = through.render_as_string(hide_password=False)
        return running([*command[:1], *user, *command[1:]], tmp_path / "process", is_ready=lambda: answers(text))

    with on_free_port(start) as port:
        for program in PROGRAMS:
            url = make_url(program_urls[program]).set(drivername="postgresql", port=port)
            assert query(url.render_as_string(hide_password=False)) == url.username
    assert "max_db_connections = 20" in (tmp_path / "pgbouncer/pgbouncer.ini").read_text()  # 60 of three pods


def keeps_statements() -> bool:
    """Whether the installed PgBouncer knows prepared statements, as the chart's does."""
    version = subprocess.run([str(PGBOUNCER), "--version"], capture_output=True, text=True, check=True).stdout
    return [int(part) for part in version.split()[1].split(".")[:2]] >= [1, 21]


def answers(url: str) -> bool:
    with suppress(psycopg.OperationalError):
        psycopg.connect(url, connect_timeout=5).close()
        return True
    return False


@needs_helm
def test_the_owners_url_must_name_postgres_itself(tmp_path: Path) -> None:
    done = configure(tmp_path, dict.fromkeys(("lipe", *PROGRAMS), "postgresql://user:word@lipe-pgbouncer:6432/lipe"))
    assert done.returncode == 1
    assert "lipe_database_url names PgBouncer itself" in done.stderr


@needs_helm
def test_a_download_is_complete_or_absent_and_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (container,) = pods(render(CASES["two-models"]))["models"]["spec"]["containers"]
    source = container["args"][0]
    assert source == (CHART / "files/download_models.py").read_text()
    monkeypatch.setenv("MODELS", environment(container)["MODELS"])
    monkeypatch.setenv("MODELS_DIR", str(tmp_path))
    asked: list[dict[str, Any]] = []

    def hub(repository: str, *, local_dir: Path, **options: Any) -> None:
        asked.append({"repository": repository, **options})
        local_dir.mkdir(exist_ok=True)
        (local_dir / "model_index.json").write_text("{}")
        if len(asked) == 1:
            raise OSError("the connection is lost")

    monkeypatch.setitem(sys.modules, "huggingface_hub", types.SimpleNamespace(snapshot_download=hub))
    with pytest.raises(OSError, match="lost"):
        exec(source, {})
    assert not (tmp_path / "sdxl").exists()
    exec(source, {})
    assert json.loads((tmp_path / "sdxl/model_index.json").read_text()) == {}
    exec(source, {})
    assert len(asked) == 2
    assert asked[0] == {
        "repository": SDXL["repository"], "revision": SDXL["revision"], "ignore_patterns": SDXL["ignore"],
    }  # fmt: skip
    assert [folder.name for folder in tmp_path.iterdir()] == ["sdxl"]
