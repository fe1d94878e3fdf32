"""The chart gives each program the same secrets as docker-compose.yml, as files of a Secret that exists."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.containers import SECRET_VALUE
from ledger.settings import Settings
from tests.deploy.chart_values import CASES, SERVERS
from tests.support.chart import Manifest, containers, needs_helm, pods, render
from tests.support.checkout import ROOT

pytestmark = needs_helm
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
SERVICE_OF = {
    "api": "api", "dispatcher": "dispatcher", "webhooks": "webhook-worker", "migrate": "migrate",
    "operator": "migrate",
    "worker-edits": "gpu-edit-worker", "worker-priors": "gpu-prior-worker",
}  # fmt: skip


def files_of(pod: Manifest) -> dict[str, str]:
    """The key of the Secret for each file of /run/secrets."""
    (volume,) = [one for one in pod["spec"]["volumes"] if one["name"] == "secrets"]
    sources = [one["secret"] for one in volume["projected"]["sources"]]
    assert {one["name"] for one in sources} == {"lipe-secrets"}
    return {item["path"]: item["key"] for source in sources for item in source["items"]}


def files_of_compose(service: dict[str, Any]) -> dict[str, str]:
    given: list[dict[str, str]] = [one if isinstance(one, dict) else {"source": one} for one in service["secrets"]]
    return {one.get("target", one["source"]): one["source"] for one in given}


def test_each_program_has_the_secrets_that_it_has_in_compose() -> None:
    rendered = pods(render(SERVERS))
    assert set(rendered) == set(SERVICE_OF)
    for component, service in SERVICE_OF.items():
        in_compose = files_of_compose(SERVICES[service])
        if service == "migrate":
            in_compose.pop("lipe_metrics_token")  # it serves no metrics
        assert files_of(rendered[component]) == in_compose, component
        for container in containers(rendered[component]):
            mounts = {one["name"]: one for one in container["volumeMounts"]}
            assert mounts["secrets"] == {"name": "secrets", "mountPath": "/run/secrets", "readOnly": True}


def test_the_bundled_servers_have_the_secrets_that_they_have_in_compose() -> None:
    rendered = pods(render(CASES["bundled"]))
    for server in ("postgres", "broker", "s3"):
        (volume,) = [one for one in rendered[server]["spec"]["volumes"] if one["name"] == "secrets"]
        assert [one["key"] for one in volume["secret"]["items"]] == SERVICES[server]["secrets"]
    (container,) = rendered["s3"]["spec"]["containers"]
    assert container["args"] == SERVICES["s3"]["command"]
    assert {one["name"]: one["value"] for one in container["env"]} == SERVICES["s3"]["environment"]


def test_without_keys_of_the_storage_the_cloud_gives_them() -> None:
    for pod in pods(render(CASES["small"])).values():
        assert not [name for name in files_of(pod) if "s3" in name or name.startswith("credentials")]


@pytest.mark.parametrize("case", CASES)
def test_the_chart_holds_no_secret(case: str) -> None:
    objects = render(CASES[case])
    assert not [one for one in objects if one["kind"] == "Secret"]
    assert not SECRET_VALUE.search(yaml.safe_dump(objects))


VALUES = {
    "lipe_database_url": "postgresql://lipe_api:word@db/lipe", "lipe_broker_url": "redis://broker/0",
    "lipe_key_pepper": "0123456789abcdef\n", "lipe_s3_access_key_id": "key", "lipe_s3_secret_access_key": "other",
    "lipe_file_url_secret": "more", "lipe_metrics_token": "0123456789abcdef", "lipe_watermark_key": "mark",
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_every_program_has_valid_settings_from_variables_and_files(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for component, pod in pods(render(CASES[case])).items():
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        if "secrets" not in volumes or component in {"pgbouncer", "postgres", "broker", "s3"}:
            continue
        folder = tmp_path / component
        lay_out(folder, {name: VALUES[name] for name in set(files_of(pod)) & set(VALUES)})
        with monkeypatch.context() as variables:
            for one in pod["spec"]["containers"][0]["env"]:
                variables.setenv(one["name"], one["value"])
            settings = Settings(_secrets_dir=folder)
        assert settings.database_url == "postgresql+psycopg://lipe_api:word@db/lipe"
        assert settings.key_pepper.get_secret_value() == "0123456789abcdef"
        assert bool(settings.base_model) is component.startswith("worker-")
        assert bool(settings.credentials_key_file) <= component.startswith("worker-")


def lay_out(folder: Path, files: dict[str, str]) -> None:
    """Write the files as Kubernetes does: links into a folder that it replaces as a whole."""
    (folder / "..2026").mkdir(parents=True)
    (folder / "..data").symlink_to("..2026")
    for name, text in files.items():
        (folder / "..2026" / name).write_text(text)
        (folder / name).symlink_to(f"..data/{name}")
