"""The container files keep the rules, and each rule notices the change that breaks it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.containers import compose_findings, dockerfile_findings
from deploy.digests import FILES
from deploy.locked import PARTS, python_packages
from tests.support.checkout import ROOT

GOOD = """FROM python:3.11-slim AS build
COPY requirements/api.txt requirements/
RUN pip install --require-hashes --no-deps -r requirements/api.txt
FROM python:3.11-slim
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH LIPE_KEY_FILE=/run/secrets/key
USER lipe
"""
DOCKERFILE_CHANGES = {
    "runs as root": ("USER lipe\n", ""),
    "as root: name": ("USER lipe", "USER 0:0"),
    "LIPE_S3_SECRET_ACCESS_KEY=abc has a secret": ("ENV PATH", "ENV LIPE_S3_SECRET_ACCESS_KEY=abc PATH"),
    "ARG TOKEN=abc has a secret": ("COPY req", "ARG TOKEN=abc\nCOPY req"),
    "postgresql://lipe:abc@db has a secret": ("ENV PATH", "ENV URL=postgresql://lipe:abc@db PATH"),
    "installs without hashes": ("--require-hashes ", ""),
    "without hashes: pip install torch": ("RUN pip", "RUN pip install torch && pip"),
    "python:latest has no version": ("FROM python:3.11-slim AS", "FROM python:latest AS"),
    "image python has no version": ("FROM python:3.11-slim AS", "ARG BASE=python\nFROM ${BASE} AS"),
    "ADD may download": ("COPY req", "ADD https://example.com/x /x\nCOPY req"),
    "runs a script": ("RUN pip", "RUN curl -s https://example.com/install | sh && pip"),
    "npm install ignores": ("RUN pip", "RUN npm install && pip"),
}
SERVICE: dict[str, Any] = {
    "image": "postgres:18.1",
    "user": "10001:10001",
    "cap_drop": ["ALL"],
    "read_only": True,
    "security_opt": ["no-new-privileges:true"],
    "environment": {"POSTGRES_PASSWORD_FILE": "/run/secrets/postgres_password", "LIPE_RECIPE": None},
}
SERVICE_CHANGES: dict[str, dict[str, Any]] = {
    "runs as root": {"user": None},
    "keeps capabilities": {"cap_add": ["NET_ADMIN"]},
    "to [ALL]": {"cap_drop": []},
    "may write to its root": {"read_only": False},
    "may gain privileges": {"security_opt": []},
    "shares the host": {"privileged": True},
    "host's namespaces": {"network_mode": "host"},
    "controls the container engine": {"volumes": ["/var/run/docker.sock:/var/run/docker.sock"]},
    "POSTGRES_PASSWORD has a secret": {"environment": {"POSTGRES_PASSWORD": "abc"}},
    "LIPE_BROKER_URL has a secret": {"environment": {"LIPE_BROKER_URL": "redis://:abc@broker:6379/0"}},
    "postgres has no version": {"image": "postgres"},
    "postgres:latest has no version": {"image": "postgres:latest"},
}


def test_our_container_files_keep_the_rules() -> None:
    assert compose_findings(yaml.safe_load((ROOT / "docker-compose.yml").read_text())) == []
    assert [one for file in FILES if file.startswith("Dockerfile") for one in dockerfile_findings(ROOT / file)] == []


@pytest.mark.parametrize("finding", DOCKERFILE_CHANGES)
def test_a_dockerfile_that_breaks_a_rule_is_found(finding: str, tmp_path: Path) -> None:
    file, (old, new) = tmp_path / "Dockerfile", DOCKERFILE_CHANGES[finding]
    file.write_text(GOOD)
    assert dockerfile_findings(file) == []
    assert old in GOOD
    file.write_text(GOOD.replace(old, new, 1))
    (found,) = dockerfile_findings(file)
    assert finding in found


@pytest.mark.parametrize("finding", SERVICE_CHANGES)
def test_a_service_that_breaks_a_rule_is_found(finding: str) -> None:
    assert compose_findings({"services": {"db": SERVICE}}) == []
    (found,) = compose_findings({"services": {"db": SERVICE | SERVICE_CHANGES[finding]}})
    assert finding in found


def test_every_package_of_the_images_has_hashes_torch_and_the_build_tools_too() -> None:
    locked = {part: {package.name: package for package in python_packages(part)} for part in PARTS}
    assert [(part, name) for part, packages in locked.items() for name, one in packages.items() if not one.hashes] == []
    (torch,) = [
        line.split(" := ")[1] for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("TORCH :=")
    ]
    assert locked["torch-cuda"]["torch"].version == torch
    assert locked["torch-cpu"]["torch"].version == f"{torch}+cpu"
    assert "setuptools" in locked["build"]
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    for packages in locked.values():
        versions = {name: one.version.removesuffix("+cpu") for name, one in packages.items() if name in pins}
        assert versions == {name: pins[name] for name in versions}
