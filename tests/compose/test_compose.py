"""Rules of the container files, checked without a container engine."""

import json
import subprocess
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import make_url
from uvicorn.middleware.proxy_headers import _TrustedHosts

from ledger.roles import PROGRAMS
from ledger.settings import Settings
from ledger.version import VERSION
from provenance.reading import Trust, read
from provenance.signing import load_signer
from tests.support.signed_images import noise, signed

ROOT = Path(__file__).resolve().parents[2]
STACK: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
ONE_SHOT = {"migrate"}
MONITORING = {"prometheus", "grafana"}
SECRET = {"LIPE_DATABASE_URL", "LIPE_BROKER_URL", "LIPE_KEY_PEPPER", "LIPE_WATERMARK_KEY", "LIPE_PROMPT_WRITER_KEY"} | {
    "LIPE_S3_ACCESS_KEY_ID",
    "LIPE_S3_SECRET_ACCESS_KEY",
    "LIPE_FILE_URL_SECRET",
}
OWN = ("lipe_database_url", "lipe_broker_url", "lipe_s3_access_key_id", "lipe_s3_secret_access_key")
PROGRAM_OF = {"api": "api", "dispatcher": "dispatcher", "webhook-worker": "webhooks"} | {
    name: "worker" for name in SERVICES if name.endswith("-worker") and name != "webhook-worker"
}
DOCKERS_OWN = ("172.17.0.0/16", "172.18.0.0/15", "172.20.0.0/14", "172.24.0.0/13", "192.168.0.0/16")
"""The subnets that Docker gives to networks without one, in turn."""
each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


def test_the_stack_has_exactly_our_services() -> None:
    workers = {f"{device}-{kind}-worker" for device in ("cpu", "gpu") for kind in ("prior", "edit")}
    profiles = {worker: [worker[:3]] for worker in workers} | {"gpu-worker": ["one-gpu"]}
    profiles |= {f"gpus-{kind}-worker": ["gpus"] for kind in ("prior", "edit")} | {"second-worker": ["second"]}
    others = {"proxy", "api", "dispatcher", "webhook-worker", "migrate", "postgres", "broker", "s3"}
    profiles |= {name: ["monitoring"] for name in MONITORING}
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
    assert all(f"//lipe_{program}:" in made[f"{program}_broker_url"] for program in PROGRAMS)
    assert made["lipe_s3_secret_access_key"].strip() in made["s3.json"]
    actions = {
        each["credentials"][0]["secretKey"]: each["actions"] for each in json.loads(made["s3.json"])["identities"]
    }
    for program in PROGRAMS:
        url = make_url(made[f"{program}_database_url"].strip())
        assert (url.username, url.host, url.database) == (f"lipe_{program}", "postgres", "lipe")
        assert all(action.endswith(":lipe") for action in actions[made[f"{program}_s3_secret_access_key"].strip()])
    subprocess.run([script, folder], check=True, capture_output=True)
    assert {file.name: file.read_text() for file in folder.iterdir()} == made


def test_the_script_makes_a_certificate_that_signs_and_adds_it_to_an_older_folder(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    before = {"lipe_key_pepper": "as before", "lipe_s3_access_key_id": "lipe", "lipe_s3_secret_access_key": "key",
              "lipe_database_url": "postgresql+psycopg://lipe:word@postgres/lipe",
              "lipe_broker_url": "redis://:word@elsewhere:6379/0"}  # fmt: skip
    for name, value in before.items():
        (folder / name).write_text(value)
    (folder / "s3.json").write_text('{"identities": [{"name": "lipe", "credentials": [{"secretKey": "key"}]}]}')
    (folder / "s3.json").chmod(0o444)
    subprocess.run([ROOT / "deploy/make_secrets.sh", folder], check=True, capture_output=True)
    made = {file.name: file.read_text().strip() for file in folder.iterdir()}
    assert {*made, "broker.conf", "postgres_password", "lipe_prompt_writer_key"} == set(STACK["secrets"])
    assert before.items() <= made.items()
    assert made["worker_database_url"].startswith("postgresql+psycopg://lipe_worker:")
    assert [each["name"] for each in json.loads(made["s3.json"])["identities"]] == [
        "lipe", *(f"lipe-{program}" for program in PROGRAMS)
    ]  # fmt: skip
    signer = load_signer(folder / "credentials_chain.pem", folder / "credentials_key.pem", "")
    assert read(signed(signer, noise()), "image/png", Trust((signer.chain,))).is_own


def secrets_of(service: dict[str, Any]) -> dict[str, str]:
    """The file of each secret, by the name under which the container has it."""
    given: list[dict[str, str]] = [
        secret if isinstance(secret, dict) else {"source": secret} for secret in service["secrets"]
    ]
    return {secret.get("target", secret["source"]): secret["source"] for secret in given}


def test_every_setting_reaches_the_workers() -> None:
    for name in ("cpu-edit-worker", "gpu-prior-worker"):
        worker = SERVICES[name]
        variables = set(worker["environment"]) | {secret.upper() for secret in secrets_of(worker)}
        assert {f"LIPE_{setting.upper()}" for setting in Settings.model_fields} <= variables


def test_each_program_has_a_database_user_and_a_storage_key_of_its_own() -> None:
    ours = {name for name, service in SERVICES.items() if service["image"].startswith("lipe-")} - ONE_SHOT
    assert set(PROGRAM_OF) == ours
    for name, program in PROGRAM_OF.items():
        secrets = secrets_of(SERVICES[name])
        assert {secrets[secret] for secret in OWN} == {secret.replace("lipe", program, 1) for secret in OWN}
        assert not set(OWN) & set(secrets.values())
        assert (secrets["lipe_key_pepper"] == "lipe_key_pepper") is (program == "api")
        assert "credentials_key.pem" not in secrets or program == "worker"
    migrate = secrets_of(SERVICES["migrate"])
    assert SERVICES["migrate"]["command"] == ["migrate", "--roles", "/run/secrets"]
    assert {f"{program}_database_url" for program in PROGRAMS} | set(OWN) <= set(migrate)


def test_only_the_webhook_worker_has_a_way_out() -> None:
    closed = {name for name, network in STACK["networks"].items() if network and network.get("internal")}
    assert set(STACK["networks"]) - closed == {"published", "outside"}
    masquerade = STACK["networks"]["published"]["driver_opts"]["com.docker.network.bridge.enable_ip_masquerade"]
    assert masquerade == "false"
    assert {name for name, service in SERVICES.items() if "outside" in service["networks"]} == {"webhook-worker"}
    assert {name for name, service in SERVICES.items() if "published" in service["networks"]} == {
        "proxy",
        "s3",
        "grafana",
    }
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"proxy", "s3", "grafana"}


def test_no_program_reaches_another_one() -> None:
    servers = {"postgres", "broker", "s3"}
    networks = {name: set(service["networks"]) for name, service in SERVICES.items() if name not in MONITORING}
    neighbours = {
        name: {other for other in networks if other != name and networks[other] & networks[name]} - servers
        for name in set(networks) - servers
    }
    workers = {name for name, program in PROGRAM_OF.items() if program == "worker"}
    assert neighbours.pop("api") == {"proxy"}
    assert neighbours.pop("proxy") == {"api"}
    for name in workers:
        assert neighbours.pop(name) == workers - {name}
    assert neighbours == {"dispatcher": set(), "webhook-worker": set(), "migrate": set()}


def test_prometheus_reaches_every_program_and_grafana_reaches_prometheus_alone() -> None:
    networks = {name: set(service["networks"]) for name, service in SERVICES.items()}
    assert all(networks[program] & networks["prometheus"] for program in PROGRAM_OF)
    assert networks["grafana"] - networks["prometheus"] == {"published"}
    assert networks["grafana"] & networks["prometheus"] == {"monitoring"}
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"][0]
    (found,) = scraped["dns_sd_configs"]
    assert set(found["names"]) == set(PROGRAM_OF)
    assert f"${{LIPE_METRICS_PORT-{found['port']}}}" == SERVICES["api"]["environment"]["LIPE_METRICS_PORT"]
    for program in PROGRAM_OF:
        assert "lipe_metrics_token" in secrets_of(SERVICES[program])


def test_the_api_believes_the_proxy_alone_about_addresses() -> None:
    (subnet,) = STACK["networks"]["front"]["ipam"]["config"]
    assert SERVICES["api"]["environment"]["FORWARDED_ALLOW_IPS"] == subnet["subnet"]
    network = ip_network(subnet["subnet"].partition(":-")[2].rstrip("}"))
    assert not [pool for pool in DOCKERS_OWN if network.overlaps(ip_network(pool))]
    trusted = _TrustedHosts(str(network))
    assert str(network[2]) in trusted
    assert "10.213.78.2" not in trusted
    assert {name for name, service in SERVICES.items() if "front" in service["networks"]} == {"proxy", "api"}


def test_the_storage_answers_to_keys_alone() -> None:
    storage = SERVICES["s3"]
    # Master, volumes and filer read and write every file without a key; so do the two catalogs.
    assert {"-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3.ip.bind=0.0.0.0", "-s3.port.iceberg=0", "-s3.port.lance=0"} <= {
        *storage["command"]
    }
    assert "-s3.config=/run/secrets/s3.json" in storage["command"]
    # S3's gRPC port, which gives rights to keys, is bound where S3 is: it needs a certificate that no program has.
    assert set(storage["environment"].values()) == {"/run/secrets/s3_internal.pem"}
    assert set(storage["environment"]) == {"WEED_GRPC_CA", "WEED_GRPC_S3_CERT", "WEED_GRPC_S3_KEY"}
    assert [name for name in SERVICES if "s3_internal.pem" in SERVICES[name].get("secrets", ())] == ["s3"]


def test_a_file_in_progress_has_room() -> None:
    api = SERVICES["api"]
    assert api["volumes"] == [f"spool:{api['environment']['TMPDIR']}"]  # on the disk: /tmp is memory
    assert f"-o lipe -g lipe {api['environment']['TMPDIR']}" in (ROOT / "Dockerfile.api").read_text()


def test_only_gpu_workers_reserve_a_gpu() -> None:
    reserving = {name for name, service in SERVICES.items() if "reservations" in service["deploy"]["resources"]}
    pool = {"gpus-prior-worker", "gpus-edit-worker"}
    assert reserving == {"gpu-prior-worker", "gpu-edit-worker", "gpu-worker", "second-worker"} | pool
    for name in pool:
        (device,) = SERVICES[name]["deploy"]["resources"]["reservations"]["devices"]
        assert device["count"] == "all"  # and each worker takes a free one, by locks in a folder that they share
        assert SERVICES[name]["environment"]["LIPE_WORKERS_PER_GPU"] == "${LIPE_WORKERS_PER_GPU:-1}"
        assert "work:/data" in SERVICES[name]["volumes"]


def test_the_second_pool_has_a_base_model_and_a_recipe_of_its_own() -> None:
    own, first = SERVICES["second-worker"]["environment"], SERVICES["gpu-worker"]["environment"]
    different = {name for name in first if own[name] != first[name]}
    assert different == {"LIPE_BASE_MODEL", "LIPE_RECIPE"}
    assert "LIPE_DEFAULT_BASE_MODEL" in SERVICES["api"]["environment"]


@each_service
def test_a_service_can_be_scaled(service: dict[str, Any]) -> None:
    assert not {"container_name", "hostname"} & set(service)
    assert all("ipv4_address" not in (network or {}) for network in dict.fromkeys(service["networks"]).values())


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
