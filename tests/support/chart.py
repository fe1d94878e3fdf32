"""The Helm chart, rendered by Helm's own engine, and the schemas of Kubernetes for its objects."""

import json
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema_rs import Draft202012Validator

from tests.support.checkout import ROOT

CHART = ROOT / "deploy/helm/lipe"
Manifest = dict[str, Any]
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast
needs_helm = pytest.mark.skipif(
    find_spec("helm_python") is None, reason="helm-python-sdk has no wheel for this machine"
)


class RenderError(Exception):
    """Helm refuses the values; the message is its own."""


def render(values: dict[str, Any], name: str = "lipe") -> list[Manifest]:
    """All objects of the chart for these values. Raises RenderError."""
    objects: list[Manifest] = json.loads(_rendered(json.dumps(values), name))["objects"]
    return objects


def lint(values: dict[str, Any]) -> list[str]:
    """The warnings and errors of `helm lint`."""
    messages: list[str] = json.loads(_rendered(json.dumps(values), "lipe"))["messages"]
    return messages


@cache
def _rendered(values: str, name: str) -> str:
    """JSON, so that no test changes what another one reads."""
    request = {"chart": str(CHART), "values": json.loads(values), "name": name, "namespace": "prod"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.helm_program"],
        input=json.dumps(request), capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    answer = json.loads(done.stdout)
    if "error" in answer:
        raise RenderError(answer["error"])
    files = [text for file, text in answer["manifests"].items() if file.endswith(".yaml")]
    objects = [document for text in files for document in yaml.load_all(text, _LOADER) if document]
    messages = [one["error"] for one in answer["messages"] if one["severity"] > 1]
    return json.dumps({"objects": objects, "messages": messages})


def schema_errors(manifest: Manifest, version: str) -> list[str]:
    """What the schema of this Kubernetes version refuses in an object; unknown fields are errors."""
    group, _, api_version = manifest["apiVersion"].rpartition("/")
    kind = f"{manifest['kind'].lower()}-{group.partition('.')[0] + '-' if group else ''}{api_version}"
    found = _validator(kind, version).iter_errors(manifest)
    return [f"{'/'.join(map(str, error.instance_path))}: {error.message}" for error in found]


@cache
def _validator(kind: str, version: str) -> Draft202012Validator:
    package = find_spec("kubernetes_validate")
    assert package is not None
    assert package.origin is not None
    folder = Path(package.origin).parent / f"kubernetes-json-schema/v{version}.0-local-strict"
    definitions = _definitions(folder)
    text = (folder / f"{kind}.json").read_text().replace("/api/_definitions.json#", "#")
    return Draft202012Validator({**json.loads(text), "$defs": definitions["$defs"]})


@cache
def _definitions(folder: Path) -> dict[str, Any]:
    definitions: dict[str, Any] = json.loads((folder / "_definitions.json").read_text())
    return definitions


def pods(objects: list[Manifest]) -> dict[str, Manifest]:
    """The pod templates by the component: {"metadata", "spec"}."""
    templates = [one["spec"]["template"] for one in objects if one["kind"] in {"Deployment", "StatefulSet", "Job"}]
    return {one["metadata"]["labels"]["app.kubernetes.io/component"]: one for one in templates}


def containers(pod: Manifest) -> list[Manifest]:
    """All containers of a pod, also those that run first."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
