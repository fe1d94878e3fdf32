"""The Helm chart, rendered by Helm's engine: the schemas of Kubernetes, and the rules of docker-compose.yml."""

import json
from typing import Any

import pytest
import yaml

from ledger.settings import Settings
from ledger.version import VERSION
from tests.deploy.chart_values import CASES, SERVERS
from tests.support.chart import Manifest, containers, lint, needs_helm, pods, render, schema_errors
from tests.support.checkout import ROOT

pytestmark = needs_helm
VERSIONS = ("1.31", "1.37")
CUSTOM = {"keda.sh/v1alpha1", "monitoring.coreos.com/v1"}
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVERS_OF_COMPOSE = {"postgres", "broker", "s3"}
each_case = pytest.mark.parametrize("case", CASES)


@each_case
def test_every_object_fits_the_schemas_of_two_kubernetes_versions(case: str) -> None:
    objects = render(CASES[case])
    native = [one for one in objects if one["apiVersion"] not in CUSTOM]
    found = {
        (version, one["kind"], one["metadata"]["name"]): errors
        for version in VERSIONS
        for one in native
        if (errors := schema_errors(one, version))
    }
    assert found == {}
    names = [(one["kind"], one["metadata"]["name"]) for one in objects]
    assert len(set(names)) == len(names)


def test_an_unknown_field_is_noticed_by_the_schemas() -> None:
    deployment = next(one for one in render(SERVERS) if one["kind"] == "Deployment")
    deployment["spec"]["template"]["spec"]["terminationGracePeriod"] = 30
    (error,) = schema_errors(deployment, VERSIONS[0])
    assert "terminationGracePeriod" in error


@each_case
def test_helm_lint_finds_nothing(case: str) -> None:
    assert lint(CASES[case]) == []


@each_case
def test_no_container_is_root_or_gains_privileges(case: str) -> None:
    for pod in pods(render(CASES[case])).values():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] >= 999
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert not [one for one in spec["volumes"] if "hostPath" in one]
        for container in containers(pod):
            rules = container["securityContext"]
            assert rules["readOnlyRootFilesystem"] is True
            assert rules["allowPrivilegeEscalation"] is False
            assert rules["capabilities"] == {"drop": ["ALL"]}
            assert {"cpu", "memory"} <= set(container["resources"]["limits"])
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])


@each_case
def test_every_pod_that_runs_on_has_probes_and_time_to_end(case: str) -> None:
    objects = render(CASES[case])
    serving = pods([one for one in objects if one["kind"] in {"Deployment", "StatefulSet"}])
    assert serving.pop("operator")["spec"]["containers"][0]["command"] == ["sleep", "infinity"]
    for component, pod in serving.items():
        (container,) = pod["spec"]["containers"]
        assert "readinessProbe" in container, component
        assert pod["spec"]["terminationGracePeriodSeconds"] >= _seconds_of_compose(component)
        if [port for port in container.get("ports") or [] if port["name"] != "metrics"]:
            assert {"startupProbe", "livenessProbe"} & set(container), component
        if component.startswith("worker-"):
            assert "livenessProbe" not in container  # a lost broker must not end a training
    paths = {
        name: serving["api"]["spec"]["containers"][0][f"{name}Probe"]["httpGet"] for name in ("liveness", "readiness")
    }
    assert paths == {"liveness": {"path": "/healthz", "port": "http"}, "readiness": {"path": "/readyz", "port": "http"}}


def _seconds_of_compose(component: str) -> int:
    service = {"webhooks": "webhook-worker", "pgbouncer": "postgres"}.get(component, component)
    text = COMPOSE["services"]["gpu-prior-worker" if service.startswith("worker-") else service]["stop_grace_period"]
    return 60 * int(text[:-1]) if text.endswith("m") else int(text[:-1])


def test_a_pool_has_the_grace_period_that_it_asks_for() -> None:
    rendered = pods(render(CASES["two-models"]))
    assert rendered["worker-edits-a"]["spec"]["terminationGracePeriodSeconds"] == 240
    assert rendered["worker-both-b"]["spec"]["terminationGracePeriodSeconds"] == 150


@each_case
def test_images_have_the_version_and_those_of_servers_are_the_ones_of_compose(case: str) -> None:
    for component, pod in pods(render(CASES[case])).items():
        for image in (container["image"] for container in containers(pod)):
            if component in SERVERS_OF_COMPOSE:
                assert image == COMPOSE["services"][component]["image"]
            elif "lipe-" in image:
                assert image.endswith(f":{VERSION}")
            else:
                assert component == "pgbouncer"
    if case == "pooled":
        assert pods(render(CASES[case]))["api"]["spec"]["containers"][0]["image"].startswith("registry.example.com/ml/")


@each_case
def test_every_variable_is_a_setting_that_exists_and_none_is_a_secret(case: str) -> None:
    secret = {
        name for name, rule in Settings.model_json_schema()["properties"].items() if rule.get("format") == "password"
    }
    secret |= {"database_url", "broker_url", "s3_access_key_id"}
    for pod in pods(render(CASES[case])).values():
        for container in containers(pod):
            variables = container.get("env", [])
            assert len({one["name"] for one in variables}) == len(variables)
            ours = {one["name"].removeprefix("LIPE_").lower() for one in variables if one["name"].startswith("LIPE_")}
            assert ours <= set(Settings.model_fields) - secret
            assert all(isinstance(one["value"], str) for one in variables if "value" in one)


def test_settings_reach_the_programs_as_text_and_a_pool_replaces_them() -> None:
    rendered = pods(render(CASES["two-models"]))
    api, edits, both = (_environment(rendered[name]) for name in ("api", "worker-edits-a", "worker-both-b"))
    assert (api["LIPE_MAX_IMPORT_BYTES"], api["LIPE_FIND_FACES"]) == ("1073741824", "false")
    assert (edits["LIPE_CAPTIONER"], "LIPE_CAPTIONER" in both) == ("/models/llava", False)
    assert (edits["LIPE_BASE_MODEL"], both["LIPE_BASE_MODEL"]) == ("/models/sdxl", "/models/other")
    assert (edits["LIPE_DEVICE"], both["LIPE_DEVICE"], both["OMP_NUM_THREADS"]) == ("cuda", "cpu", "4")


def _environment(pod: Manifest) -> dict[str, str]:
    return {one["name"]: one.get("value", "") for one in pod["spec"]["containers"][0]["env"]}


def test_a_worker_reserves_one_gpu_of_its_class_or_none() -> None:
    rendered = pods(render(CASES["two-models"]))
    limits = {name: pod["spec"]["containers"][0]["resources"]["limits"] for name, pod in rendered.items()}
    assert limits["worker-edits-a"]["nvidia.com/gpu.shared"] == "1"
    assert rendered["worker-edits-a"]["spec"]["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-L4"}
    assert set(limits["worker-both-b"]) == {"cpu", "memory"}
    commands = {name: rendered[name]["spec"]["containers"][0]["args"] for name in ("worker-edits-a", "worker-both-b")}
    assert commands == {
        "worker-edits-a": ["worker", "--queues", "edits"],
        "worker-both-b": ["worker", "--queues", "priors,edits"],
    }


def test_a_worker_waits_for_the_base_model_that_a_job_downloads() -> None:
    rendered = pods(render(CASES["two-models"]))
    (wait,) = rendered["worker-edits-a"]["spec"]["initContainers"]
    assert "/models/sdxl" in wait["command"][-1]
    assert "initContainers" not in rendered["worker-both-b"]["spec"]
    claims = {one["persistentVolumeClaim"]["claimName"] for name in ("models", "worker-edits-a")
              for one in rendered[name]["spec"]["volumes"] if "persistentVolumeClaim" in one}  # fmt: skip
    assert claims == {"lipe-models"}


def test_the_migration_runs_before_the_programs_change() -> None:
    (job,) = [one for one in render(SERVERS) if one["kind"] == "Job"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert pods([job])["migrate"]["spec"]["containers"][0]["args"] == ["migrate", "--roles", "/run/secrets"]
    account = pods([job])["migrate"]["spec"]["serviceAccountName"]
    (hook,) = [one for one in render(SERVERS) if one["kind"] == "ServiceAccount" and one["metadata"]["name"] == account]
    assert int(hook["metadata"]["annotations"]["helm.sh/hook-weight"]) < 0
    (bundled,) = [one for one in render(CASES["bundled"]) if one["kind"] == "Job"]
    assert "annotations" not in bundled["metadata"]  # its Postgres starts with the release


def test_the_ingress_leads_to_every_route_but_the_metrics() -> None:
    (ingress,) = [one for one in render(CASES["pooled"]) if one["kind"] == "Ingress"]
    paths = ingress["spec"]["rules"][0]["http"]["paths"]
    exact = {one["path"] for one in paths if one["pathType"] == "Exact"}
    prefixes = tuple(one["path"] for one in paths if one["pathType"] == "Prefix")
    routes = set(json.loads((ROOT / "docs/openapi.json").read_text())["paths"])
    routes |= {"/", "/assets/app.js", "/docs", "/openapi.json", "/files/key"}  # of the studio, and not in the contract
    outside = {path for path in routes if path not in exact and not path.startswith(prefixes)}
    assert outside == {"/metrics"}


def test_prometheus_finds_every_program_at_a_port_with_the_token_of_the_secret() -> None:
    objects = render(CASES["monitored"])
    (service,) = [one for one in objects if one["kind"] == "Service" and one["metadata"]["name"] == "lipe-metrics"]
    (monitor,) = [one for one in objects if one["kind"] == "ServiceMonitor"]
    selector, labels = service["spec"]["selector"].items(), service["metadata"]["labels"]
    rendered = pods(objects)
    chosen = {name for name, pod in rendered.items() if selector <= pod["metadata"]["labels"].items()}
    assert chosen == {"api", "dispatcher", "webhooks", "worker-edits", "worker-priors"}
    for name in chosen:
        (container,) = rendered[name]["spec"]["containers"]
        assert {"name": "metrics", "containerPort": 9400} in container["ports"]
        assert _environment(rendered[name])["LIPE_METRICS_PORT"] == "9400"
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert labels[monitor["spec"]["jobLabel"]] == "lipe"
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["authorization"]["credentials"] == {"name": "lipe-secrets", "key": "lipe_metrics_token"}
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


def test_alerts_and_dashboards_are_the_files_of_the_repository() -> None:
    objects = render(CASES["monitored"])
    (rule,) = [one for one in objects if one["kind"] == "PrometheusRule"]
    assert rule["spec"] == yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())
    boards = {name: text for one in objects if one["kind"] == "ConfigMap" for name, text in one["data"].items()}
    files = list((ROOT / "deploy/grafana/dashboards").glob("*.json"))
    assert files
    assert {name: json.loads(text) for name, text in boards.items()} == {
        file.name: json.loads(file.read_text()) for file in files
    }


@each_case
def test_names_and_labels_are_short_enough_with_the_longest_release_name(case: str) -> None:
    longest = "r" * 53
    pools = [
        one | {"name": "n" * 20} for one in CASES[case].get("workers", [{"queues": ["edits"], "baseModel": "sdxl"}])
    ][:1]
    objects = render(CASES[case] | {"workers": pools}, longest)
    labels = [text for one in objects for text in one["metadata"]["labels"].values()]
    assert [text for text in (*labels, *(one["metadata"]["name"] for one in objects)) if len(text) > 63] == []


def test_a_job_that_changes_is_another_job() -> None:
    def job(**change: object) -> tuple[str, str]:
        objects = render(CASES["two-models"] | change)
        (found,) = [one for one in objects if one["kind"] == "Job" and "-models-" in one["metadata"]["name"]]
        return found["metadata"]["name"], json.dumps(found["spec"])

    variants = [job(), job(), job(images={"tag": "1.2.3"}), job(existingSecret="other"), job(contentCredentials=False)]
    assert len(dict(variants)) == len({spec for _, spec in variants}) == 3
