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
        assert files_of(rendered[component]) == files_of_compose(SERVICES[service]), component
        for container in containers(rendered[component]):
            mounts = {one["name"]: one for one in container["volumeMounts"]}
            assert mounts["secrets"] == {"name": "secrets", "mountPath": "/run/secrets", "readOnly": True}


def test_the_bundled_servers_have_the_secrets_that_they_have_in_compose() -> None:
    rendered = pods(render(CASES["bundled"]))
    for server in ("postgres", "broker", "s3"):
        (volume,) = [one for one in rendered[server]["spec"]["volumes"] if one["name"] == "secrets"]
        assert [one["key"] for one in volume["secret"]["items"]] == SERVICES[server]["secrets"]


def test_without_keys_of_the_storage_the_cloud_gives_them() -> None:
    for pod in pods(render(CASES["small"])).values():
        assert not [name for name in files_of(pod) if "s3" in name or name.startswith("credentials")]


@pytest.mark.parametrize("case", CASES)
def test_the_chart_holds_no_secret(case: str) -> None:
    objects = render(CASES[case])
    assert not [one for one in objects if one["kind"] == "Secret"]
    assert not SECRET_VALUE.search(yaml.safe_dump(objects))


def test_a_program_reads_the_files_as_kubernetes_lays_them_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"lipe_database_url": "postgresql://lipe_api:word@db/lipe", "lipe_broker_url": "redis://broker/0",
              "lipe_key_pepper": "0123456789abcdef\n", "lipe_s3_access_key_id": "key",
              "lipe_s3_secret_access_key": "other"}  # fmt: skip
    paths = files_of(pods(render(SERVERS))["api"])
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..data").symlink_to("..2026")
    for name in set(paths) & set(values):
        (tmp_path / "..2026" / name).write_text(values[name])
        (tmp_path / name).symlink_to(f"..data/{name}")
    monkeypatch.setenv("LIPE_S3_ENDPOINT_URL", "https://s3.example.com")
    settings = Settings(_secrets_dir=tmp_path)
    assert settings.database_url == "postgresql+psycopg://lipe_api:word@db/lipe"
    assert settings.key_pepper.get_secret_value() == "0123456789abcdef"
