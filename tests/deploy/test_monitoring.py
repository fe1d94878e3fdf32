"""Dashboards and alert rules: every metric that a query names is one that the programs serve."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from api.metrics import ApiMetrics
from deploy import dashboards
from ledger.database import UnitOfWork
from ledger.models import Project
from tests.support.checkout import ROOT
from worker.metrics import DispatcherMetrics, WebhookMetrics, WorkerMetrics

PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES: dict[str, Any] = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
FROM_PROMETHEUS = {"up"}
"""Metrics that Prometheus makes itself."""
METRIC = re.compile(r"\b(?:lipe|process)_[a-z0-9_]+|\bup\b")
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}


def served(registry: CollectorRegistry) -> Iterator[str]:
    """The names of all series that a registry can have."""
    for family in registry.collect():
        yield from (family.name + suffix for suffix in SUFFIXES[family.type])


@pytest.fixture
def names(role_begin: Any, project: Project) -> set[str]:
    """The names of the series of all programs, under the API's database role."""
    api, worker = ApiMetrics(), WorkerMetrics()
    begin: UnitOfWork = role_begin("api")
    api.watch(begin, lambda: 0)
    worker.show_gpu(lambda: {"total": 1})
    programs = (api, worker, WebhookMetrics(), DispatcherMetrics())
    return {name for program in programs for name in served(program.registry)} | FROM_PROMETHEUS


def queries() -> Iterator[tuple[str, str]]:
    for file in sorted(dashboards.FOLDER.glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            yield from ((f"{file.name}: {panel['title']}", target["expr"]) for target in panel["targets"])
    yield from ((rule["alert"], rule["expr"]) for rule in ALERTS)


def test_every_metric_of_a_query_is_served(names: set[str]) -> None:
    assert len(list(queries())) > 50
    for place, query in queries():
        used = set(METRIC.findall(query))
        assert used, place
        assert used <= names, f"{place} queries {used - names}, which no program serves"


def test_every_metric_of_a_program_is_on_a_dashboard_or_in_a_rule(names: set[str]) -> None:
    used = {name for _, query in queries() for name in METRIC.findall(query)}
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in names if name.startswith("lipe_")}
    seen = {re.sub(r"_(bucket|count|sum)$", "", name) for name in used}
    assert families - seen == set()


def test_the_dashboards_are_up_to_date() -> None:
    for name in dashboards.DASHBOARDS:
        file = dashboards.FOLDER / f"{name}.json"
        assert json.loads(file.read_text()) == dashboards.render(name), "run `python -m deploy.dashboards`"
    assert {file.stem for file in dashboards.FOLDER.iterdir()} == set(dashboards.DASHBOARDS)


def test_every_alert_says_what_to_do() -> None:
    headings = re.findall(r"^### (\w+)$", (ROOT / "docs" / "monitoring.md").read_text(), re.MULTILINE)
    assert headings == [rule["alert"] for rule in ALERTS]
    for rule in ALERTS:
        assert rule["annotations"]["runbook"] == f"docs/monitoring.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in {"critical", "warning"}


def test_every_metric_is_explained(names: set[str]) -> None:
    text = (ROOT / "docs" / "monitoring.md").read_text()
    explained = set(re.findall(r"^\| `(lipe_\w+)`", text, re.MULTILINE))
    families = {re.sub(r"_(bucket|count|sum|total)$", "", name) for name in names if name.startswith("lipe_")}
    assert {re.sub(r"_total$", "", name) for name in explained} == families


@pytest.mark.parametrize("arguments", [("check", "rules", "rules.yml"), ("test", "rules", "rules_test.yml")])
def test_prometheus_accepts_the_rules_and_they_fire(arguments: tuple[str, ...]) -> None:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool is missing: install the package prometheus")
    done = subprocess.run([tool, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_accepts_its_configuration(tmp_path: Path) -> None:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool is missing: install the package prometheus")
    shutil.copy(PROMETHEUS / "rules.yml", tmp_path)
    (tmp_path / "token").write_text("a token")
    config = (PROMETHEUS / "prometheus.yml").read_text()
    for inside, here in (("/etc/prometheus", tmp_path), ("/run/secrets/lipe_metrics_token", tmp_path / "token")):
        config = config.replace(inside, str(here))
    (tmp_path / "prometheus.yml").write_text(config)
    done = subprocess.run(
        [tool, "check", "config", "prometheus.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
