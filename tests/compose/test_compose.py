"""Rules of the container files, checked without a container engine."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ledger.settings import Settings
from ledger.version import VERSION
from provenance.reading import Trust, read
from provenance.signing import load_signer
from tests.support.signed_images import noise, signed

ROOT = Path(__file__).resolve().parents[2]
STACK: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
ONE_SHOT = {"migrate"}
SECRET = {"LIPE_DATABASE_URL", "LIPE_BROKER_URL", "LIPE_KEY_PEPPER", "LIPE_WATERMARK_KEY", "LIPE_PROMPT_WRITER_KEY"} | {
    "LIPE_S3_ACCESS_KEY_ID",
    "LIPE_S3_SECRET_ACCESS_KEY",
}
each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


def test_the_stack_has_exactly_our_services() -> None:
    workers = {f"{device}-{kind}-worker" for device in ("cpu", "gpu") for kind in ("prior", "edit")}
    profiles = {worker: [worker[:3]] for worker in workers} | {"gpu-worker": ["one-gpu"]}
    others = {"proxy", "api", "dispatcher", "webhook-worker", "migrate", "postgres", "broker", "s3"}
    assert set(SERVICES) == others | set(profiles)
    assert {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service} == profiles


@each_service
def test_a_container_has_few_privileges(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert str(service["user"]).partition(":")[0] not in {"", "root", "0"}
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert not service.get("privileged")


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONE_SHOT))
def test_long_running_services_have_a_health_check_a_restart_policy_and_a_grace_period(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"]
    assert service["restart"] == "unless-stopped"
    assert service["stop_grace_period"]


def test_services_wait_for_the_migration() -> None:
    assert SERVICES["migrate"]["restart"] == "no"
    ours = {name for name, service in SERVICES.items() if service["image"].startswith("lipe-")} - ONE_SHOT
    for name in ours:
        assert SERVICES[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}


@each_service
def test_secrets_are_files(service: dict[str, Any]) -> None:
    assert not SECRET & set(service.get("environment", {}))
    assert not [name for name in service.get("environment", {}) if "PASSWORD" in name and not name.endswith("_FILE")]


def test_the_script_makes_every_secret_once(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    script = ROOT / "deploy/make_secrets.sh"
    subprocess.run([script, folder], check=True, capture_output=True)
    made = {file.name: file.read_text() for file in folder.iterdir()}
    assert set(made) == set(STACK["secrets"])
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len(set(made.values())) == len(made)
    assert made["postgres_password"].strip() in made["lipe_database_url"]
    assert made["broker.conf"].split()[1] in made["lipe_broker_url"]
    assert made["lipe_s3_secret_access_key"].strip() in made["s3.json"]
    subprocess.run([script, folder], check=True, capture_output=True)
    assert {file.name: file.read_text() for file in folder.iterdir()} == made


def test_the_script_makes_a_certificate_that_signs_and_adds_it_to_an_older_folder(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "lipe_key_pepper").write_text("as before")
    subprocess.run([ROOT / "deploy/make_secrets.sh", folder], check=True, capture_output=True)
    assert {file.name for file in folder.iterdir()} == {
        "lipe_key_pepper", "lipe_policy_secret", "lipe_watermark_key", "credentials_chain.pem", "credentials_key.pem",
    }  # fmt: skip
    signer = load_signer(folder / "credentials_chain.pem", folder / "credentials_key.pem", "")
    assert read(signed(signer, noise()), "image/png", Trust((signer.chain,))).is_own


def test_every_setting_reaches_the_workers() -> None:
    for name in ("cpu-edit-worker", "gpu-prior-worker"):
        worker = SERVICES[name]
        variables = set(worker["environment"]) | {secret.upper() for secret in worker["secrets"]}
        assert {f"LIPE_{setting.upper()}" for setting in Settings.model_fields} <= variables


def test_only_the_api_and_the_webhook_worker_reach_other_networks() -> None:
    assert STACK["networks"]["inside"] == {"internal": True}
    reaching = {name for name, service in SERVICES.items() if "outside" in service["networks"]}
    assert reaching == {"api", "webhook-worker"}
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"proxy", "s3"}


def test_only_gpu_workers_reserve_a_gpu() -> None:
    reserving = {name for name, service in SERVICES.items() if "reservations" in service["deploy"]["resources"]}
    assert reserving == {"gpu-prior-worker", "gpu-edit-worker", "gpu-worker"}


@pytest.mark.parametrize("file", ["Dockerfile.api", "Dockerfile.worker"])
def test_images_run_without_root_and_from_locked_requirements(file: str) -> None:
    text = (ROOT / file).read_text()
    assert "USER lipe" in text.rpartition("FROM")[2]
    assert "--require-hashes --no-deps" in text


@pytest.mark.parametrize("file", ["Dockerfile.api", "Dockerfile.worker"])
def test_an_image_has_the_version_as_a_label(file: str) -> None:
    final = (ROOT / file).read_text().rpartition("FROM")[2]
    assert f"ARG VERSION={VERSION}\n" in final
    assert 'org.opencontainers.image.version="$VERSION"' in final


def test_the_image_of_the_api_has_no_torch() -> None:
    assert "lipe_core" not in (ROOT / "Dockerfile.api").read_text()
    assert not {"torch", "diffusers", "transformers"} & set(_locked("api"))


@pytest.mark.parametrize("image", ["api", "worker"])
def test_the_locked_requirements_are_the_constraints(image: str) -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    constraints = dict(line.split("==") for line in lines if "==" in line)
    locked = _locked(image)
    assert locked == {name: constraints[name] for name in locked}


def _locked(image: str) -> dict[str, str]:
    lines = (ROOT / f"requirements/{image}.txt").read_text().splitlines()
    return dict(line.split()[0].split("==") for line in lines if line[:1].isalnum())
