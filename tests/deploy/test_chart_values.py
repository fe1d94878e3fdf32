"""Values that the chart refuses, each with a message that says what to do."""

import json
import re
from typing import Any

import pytest
import yaml

from tests.deploy.chart_values import CASES, SCALED, SERVERS, TWO_MODELS
from tests.support.chart import CHART, RenderError, needs_helm, render
from tests.support.checkout import ROOT

PAGE = (ROOT / "docs/kubernetes.md").read_text()

POOL: dict[str, Any] = {"name": "edits", "queues": ["edits"], "baseModel": "sdxl"}
WRONG: dict[str, dict[str, Any]] = {
    "existingSecret is empty: create a Secret from the folder of `make secrets`": {"existingSecret": ""},
    "storage.endpointUrl is empty": {"storage": {"cidrs": ["10.3.0.0/16"]}},
    "broker.cidrs is empty": {"broker": {}},
    "two pools have the name edits": {"workers": [POOL, POOL]},
    "edits needs scaling.fingerprint, because the pool both-b has another base model": {
        "workers": [SCALED[0], TWO_MODELS[1]], "scaler": {"host": "db.example.com"},
    },
    "set scaler.host": {"workers": SCALED},
    "scaling.maxReplicas below its minReplicas": {
        "workers": [POOL | {"scaling": {"enabled": True, "minReplicas": 3, "maxReplicas": 2}}],
        "scaler": {"host": "db.example.com"},
    },
    "api.autoscaling.maxReplicas is below minReplicas": {"api": {"autoscaling": {"minReplicas": 20}}},
    "at '/dispatcher/replicas': minimum: got -1, want 0": {"dispatcher": {"replicas": -1}},
    "at '/workers/0/replicas': minimum: got -1, want 0": {"workers": [POOL | {"replicas": -1}]},
    "additional properties 'replica' not allowed": {"webhooks": {"replica": 2}},
    "additional properties 'LIPE_MAX_RUNING_JOBS' not allowed": {"settings": {"LIPE_MAX_RUNING_JOBS": 3}},
    "additional properties 'LIPE_WATERMARK_KEY' not allowed": {"settings": {"LIPE_WATERMARK_KEY": "a secret"}},
    "at '/settings/LIPE_MAX_RUNNING_JOBS': minimum: got -3, want 1": {"settings": {"LIPE_MAX_RUNNING_JOBS": -3}},
    "at '/workers/0/queues/0': value must be one of 'edits', 'priors'": {"workers": [POOL | {"queues": ["webhooks"]}]},
    "at '/database/cidrs/0': 'db.example.com' does not match pattern": {"database": {"cidrs": ["db.example.com"]}},
    "missing property 'maxReplicas'": {"workers": [POOL | {"scaling": {"enabled": True}}]},
}  # fmt: skip


@needs_helm
@pytest.mark.parametrize("message", WRONG)
def test_wrong_values_are_refused(message: str) -> None:
    with pytest.raises(RenderError) as caught:
        render(SERVERS | WRONG[message])
    assert message in str(caught.value)


@needs_helm
def test_a_bundled_installation_needs_only_the_secret() -> None:
    assert render(CASES["bundled"])
    with pytest.raises(RenderError, match="existingSecret is empty"):
        render({"bundled": {"enabled": True}})


@needs_helm
@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.S))
def test_the_values_of_the_documentation_are_accepted(block: str) -> None:
    assert render(SERVERS | yaml.safe_load(block))


def test_every_value_has_a_description_and_unknown_ones_are_refused() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert list(_undescribed(schema, "")) == []


def _undescribed(rule: dict[str, Any], path: str) -> Any:
    for name, inner in rule.get("properties", {}).items():
        if not inner.get("description"):
            yield f"{path}/{name} has no description"
        yield from _undescribed(inner, f"{path}/{name}")
    if "properties" in rule and rule.get("additionalProperties") is not False:
        yield f"{path} accepts unknown values"
    if "items" in rule:
        yield from _undescribed(rule["items"], f"{path}[]")
