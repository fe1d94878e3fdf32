"""`lipe doctor`: each fault is one line that says what to do, and no fault hides another."""

import shutil
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from sqlalchemy import make_url
from typer.testing import CliRunner

from cli.doctor import machine
from cli.main import app
from ledger import base_models, database, schema, workers
from ledger.database import UnitOfWork
from ledger.models import Job, Project
from ledger.settings import Settings
from ledger.storage import PROJECTS, Storage
from tests.support.factories import learn, make_subject
from tests.support.layouts import UNET, Change, edited, overwritten, truncated
from tests.support.tiny_klein import write_klein

PARTS = (
    "python", "packages", "device", "memory", "disk", "settings",
    "base model", "database", "clock", "queue", "broker", "storage", "credentials",
    "captioning", "training", "editing", "workers", "seconds",
)  # fmt: skip
SERVERS = ("database", "clock", "queue", "broker", "storage")


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without any setting of LIPE."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"LIPE_{name.upper()}", raising=False)


@pytest.fixture
def installed(settings_environment: None, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment in which every check is fine."""
    monkeypatch.setenv("LIPE_BASE_MODEL", str(checkpoint))
    monkeypatch.setenv("LIPE_DEVICE", "cpu")


def examine() -> tuple[int, dict[str, tuple[str, str]]]:
    """The exit status, and result and text of each part."""
    result = CliRunner().invoke(app, ["doctor"])
    assert isinstance(result.exception, SystemExit | None), result.exception
    lines = {}
    for line in result.stdout.splitlines():
        lines[line[11:23].strip()] = line[:11].strip(), line[23:].strip()
    assert tuple(lines) == PARTS, result.output
    return result.exit_code, lines


def failures(lines: dict[str, tuple[str, str]]) -> list[str]:
    return [part for part, (result, _) in lines.items() if result == "failed"]


@pytest.mark.usefixtures("installed")
def test_a_whole_installation_is_fine(storage: Storage) -> None:
    status, lines = examine()
    assert status == 0
    assert {result for part, (result, _) in lines.items() if part != "credentials"} == {"fine", "plan"}
    assert lines["workers"][1].startswith("no GPU is in use here; on a GPU, a worker for trainings (LoRA) and one for")
    assert list(storage.keys(f"{PROJECTS}doctor/")) == []


@pytest.mark.usefixtures("no_settings")
def test_without_settings_the_machine_is_checked_and_the_rest_explained() -> None:
    status, lines = examine()
    assert status == 0
    assert {part for part, (result, _) in lines.items() if result == "unchecked"} == {
        "settings",
        "credentials",
        *SERVERS,
    }
    assert "LIPE_KEY_PEPPER" in lines["settings"][1]
    assert "data/settings.sh" in lines["settings"][1]
    assert "for photos, set LIPE_BASE_MODEL" in lines["base model"][1]
    assert lines["storage"][1] == "set LIPE_S3_ENDPOINT_URL"


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("setting", "value", "failed", "advice"),
    [
        ("DATABASE_URL", "postgresql://lipe@127.0.0.1:9/lipe", "database", "start it or correct LIPE_DATABASE_URL"),
        ("BROKER_URL", "redis://127.0.0.1:9/0", "broker", "start it or correct LIPE_BROKER_URL"),
        ("BROKER_URL", "amqp://127.0.0.1", "broker", "LIPE_BROKER_URL is no Redis URL"),
        ("S3_ENDPOINT_URL", "http://127.0.0.1:9", "storage", "start it, correct the LIPE_S3_"),
        ("S3_ENDPOINT_URL", "no url", "storage", "LIPE_S3_ENDPOINT_URL is no URL"),
        ("S3_SECRET_ACCESS_KEY", "", "settings", "set both s3_access_key_id and s3_secret_access_key, or none"),
        ("S3_BUCKET", "no-such-bucket", "storage", "run `lipe migrate`, which makes the bucket"),
        ("BASE_MODEL", "/nope", "base model", "the base model /nope does not exist: set LIPE_"),
        ("BASE_MODEL", "", "base model", "LIPE_BASE_MODEL is not set"),
        ("DEVICE", "abacus", "device", "set it to auto, cpu or cuda"),
        ("DATA_DIR", "/proc/data", "disk", "cannot write to /proc"),
    ],
)
def test_one_fault_fails_one_check(
    setting: str, value: str, failed: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"LIPE_{setting}", value)
    status, lines = examine()
    assert (status, failures(lines)) == (1, [failed])
    assert advice in lines[failed][1]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (edited("unet/config.json", in_channels=9), "inpainting model"),
        (truncated(UNET), "its end is missing"),
        (overwritten(UNET, "version https://git-lfs.github.com/spec/v1\n"), "which `git lfs pull` replaces"),
    ],
)
def test_an_unusable_base_model_fails_one_check(
    change: Change, fault: str, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(Path(shutil.copytree(checkpoint, tmp_path / "model")))
    monkeypatch.setenv("LIPE_BASE_MODEL", str(tmp_path / "model"))
    status, lines = examine()
    assert (status, failures(lines)) == (1, ["base model"])
    assert fault in lines["base model"][1]


@pytest.mark.usefixtures("installed")
def test_a_distilled_klein_fails_unless_the_setting_allows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_klein(tmp_path, is_distilled=True)
    monkeypatch.setenv("LIPE_BASE_MODEL", str(tmp_path))
    assert failures(examine()[1]) == ["base model"]
    monkeypatch.setenv("LIPE_ALLOW_DISTILLED", "true")
    status, lines = examine()
    assert (status, lines["base model"][0]) == (0, "fine")
    assert "neither trains nor inverts well" in lines["base model"][1]


@pytest.mark.usefixtures("installed")
def test_servers_that_are_down_do_not_hide_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPE_DATABASE_URL", "postgresql://lipe@127.0.0.1:9/lipe")
    monkeypatch.setenv("LIPE_BROKER_URL", "redis://127.0.0.1:9/0")
    monkeypatch.setenv("LIPE_S3_ENDPOINT_URL", "http://127.0.0.1:9")
    status, lines = examine()
    assert (status, failures(lines)) == (1, ["database", "broker", "storage"])
    assert lines["clock"] == ("unchecked", "the database does not answer")


@pytest.mark.usefixtures("installed")
def test_wrong_and_missing_settings_are_named_and_the_others_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIPE_S3_SECRET_ACCESS_KEY")
    monkeypatch.setenv("LIPE_KEY_PEPPER", "short")
    monkeypatch.setenv("LIPE_STUCK_SECONDS", "soon")
    monkeypatch.setenv("LIPE_PROMPT_WRITER_URL", "ftp://writer")
    status, lines = examine()
    assert (status, failures(lines)) == (1, ["settings"])
    for name in ("LIPE_S3_SECRET_ACCESS_KEY", "LIPE_KEY_PEPPER", "LIPE_STUCK_SECONDS", "prompt_writer_url"):
        assert name in lines["settings"][1]
    assert "short" not in lines["settings"][1]
    assert lines["storage"] == ("unchecked", "set LIPE_S3_SECRET_ACCESS_KEY")
    assert lines["database"][0] == lines["broker"][0] == "fine"


@pytest.mark.usefixtures("installed")
def test_jobs_that_no_live_worker_can_do_are_a_fault(begin: UnitOfWork, storage: Storage, project: Project) -> None:
    klein, sdxl = ({"name": name, "fingerprint": name * 2, "family": name} for name in ("klein", "sdxl"))
    job = learn(begin, project, make_subject(begin, storage, project))
    with begin() as session:
        base_models.remember(session, klein)
        session.get_one(Job, job.id).base_model = klein["fingerprint"]
    assert examine()[1]["queue"] == ("fine", "no worker is live; 1 jobs wait")
    with begin() as session:
        workers.report(session, "a:1", ["prior"], sdxl)
    status, lines = examine()
    assert (status, failures(lines)) == (1, ["queue"])
    assert "live workers: 1 of sdxl; they cannot do jobs that wait (prior with klein: 1)" in lines["queue"][1]
    with begin() as session:
        workers.report(session, "b:1", ["prior"], klein)
    assert examine()[1]["queue"] == ("fine", "live workers: 1 of klein, 1 of sdxl; they can do all that waits")


@pytest.mark.usefixtures("installed")
def test_an_unreadable_url_does_not_show_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPE_DATABASE_URL", "postgresql://lipe@host:secret/lipe")
    status, lines = examine()
    assert (status, failures(lines)) == (1, ["database", "clock", "queue"])
    assert "secret" not in str(lines)


@pytest.mark.usefixtures("installed")
def test_a_database_without_tables_needs_migrate(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = make_url(settings.database_url).set(database="template1")
    monkeypatch.setenv("LIPE_DATABASE_URL", empty.render_as_string(hide_password=False))
    status, lines = examine()
    assert (status, failures(lines)) == (1, ["database"])
    assert lines["database"][1] == "it answers, but has no tables: run `lipe migrate`"


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(("present", "advice"), [("0001", "run `lipe migrate`"), ("9999", "install a newer LIPE")])
def test_the_schema_of_another_version_is_named(present: str, advice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "schema_revisions", lambda engine: (present, "0008"))
    _, lines = examine()
    assert lines["database"][0] == "failed"
    assert advice in lines["database"][1]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(("minutes", "side"), [(2, "ahead of"), (-2, "behind")])
def test_clocks_that_differ_are_a_fault(minutes: int, side: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = database.now
    monkeypatch.setattr(database, "now", lambda session: now(session) - timedelta(minutes=minutes))
    status, lines = examine()
    assert (status, failures(lines)) == (1, ["clock"])
    assert f"this machine is 120 s {side} the database" in lines["clock"][1]


@pytest.mark.usefixtures("installed")
def test_a_storage_that_keeps_deleted_objects_is_a_fault(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(Storage, "delete", lambda storage, key: None)
        status, lines = examine()
    assert storage.delete_prefix(f"{PROJECTS}doctor/") == 1
    assert (status, failures(lines)) == (1, ["storage"])
    assert "keeps objects after their deletion" in lines["storage"][1]


@pytest.mark.usefixtures("installed")
def test_memory_that_does_not_hold_the_weights_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_free_main_memory", lambda: 1000)
    status, lines = examine()
    assert (status, failures(lines)) == (1, ["memory"])
    assert "stop other programs" in lines["memory"][1]


@pytest.mark.usefixtures("installed")
def test_a_full_disk_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    status, lines = examine()
    assert (status, failures(lines)) == (1, ["disk"])


@pytest.mark.usefixtures("installed")
def test_without_torch_the_advice_is_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_torch", lambda: ImportError("No module named 'torch'"))
    monkeypatch.setattr(machine, "_is_installed", lambda name: name != "torch")
    status, lines = examine()
    assert (status, failures(lines)) == (1, ["packages", "device"])
    assert "not installed: torch: run `make setup`" in lines["packages"][1]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(("cuda", "reason"), [(None, "is a build without CUDA"), ("13.0", "finds no usable GPU")])
def test_a_gpu_that_is_asked_for_and_missing_is_a_fault(
    cuda: str | None, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIPE_DEVICE", "cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    status, lines = examine()
    assert (status, failures(lines)) == (1, ["device"])
    assert reason in lines["device"][1]
