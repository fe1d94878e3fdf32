"""`make audit-security`: the bill of materials fits its schema, advisories are found, and the checkout passes."""

import json
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from deploy import audit_security
from deploy.advisories import vulnerabilities
from deploy.audit_security import Skipped, known_vulnerabilities
from deploy.locked import PARTS, Package, python_packages
from deploy.sbom import bill
from tests.support.checkout import PYTHON_PATH, ROOT

SCHEMAS = files("cyclonedx.schema") / "_res"
RECORD = """
id: PYSEC-2026-1
affected:
- package: {ecosystem: PyPI, name: example}
  ranges:
  - {type: GIT, events: [{introduced: "0"}, {fixed: 1fe1bb49}]}
  - {type: ECOSYSTEM, events: [{introduced: "1.2"}, {fixed: "1.10"}, {introduced: "2.0"}, {last_affected: "2.1"}]}
  versions: ["0.5"]
"""


def test_the_bill_of_materials_fits_the_schema_and_has_every_locked_package() -> None:
    made = bill()
    _validator().validate(made)
    found = {one["purl"] for one in made["components"]}
    assert {one.purl for part in PARTS for one in python_packages(part)} <= found
    assert "pkg:npm/react@" in " ".join(found)
    (torch,) = [one for one in made["components"] if one["purl"] == "pkg:pypi/torch@2.13.0%2Bcpu"]
    assert torch["externalReferences"][0]["hashes"]
    with pytest.raises(jsonschema_rs.ValidationError):
        _validator().validate(made | {"components": [{"name": "without a type"}]})


@pytest.mark.parametrize(
    ("version", "is_affected"),
    {"0.5": True, "1.1": False, "1.2": True, "1.9.9": True, "1.10": False, "2.1": True, "2.2": False}.items(),
)
def test_a_record_names_the_affected_versions(version: str, is_affected: bool, tmp_path: Path) -> None:
    _copy(tmp_path, RECORD)
    found = vulnerabilities(tmp_path, [Package("pypi", "example", version), Package("npm", "example", "1.5")])
    assert [one.record for one in found] == ["PYSEC-2026-1"] * is_affected
    assert all(one.fixed == ("1.10",) for one in found)


def test_withdrawn_records_do_not_count_and_other_folders_are_refused(tmp_path: Path) -> None:
    _copy(tmp_path, RECORD + 'withdrawn: "2026-01-01T00:00:00Z"\n')
    assert vulnerabilities(tmp_path, [Package("pypi", "example", "1.5")]) == []
    with pytest.raises(ValueError, match="has no folder vulns: clone"):
        vulnerabilities(tmp_path / "vulns", [])


def test_an_old_copy_or_none_passes_nothing_and_a_vulnerable_package_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Skipped, match="git clone"):
        known_vulnerabilities(tmp_path / "none")
    _copy(tmp_path, RECORD)
    monkeypatch.setattr(audit_security, "all_packages", lambda: [Package("pypi", "example", "1.5")])
    assert known_vulnerabilities(tmp_path) == ["example 1.5: PYSEC-2026-1, fixed in 1.10"]
    monkeypatch.setattr(audit_security, "all_packages", lambda: [Package("pypi", "example", "3.0")])
    for date, outcome in (("2024-01-01T00:00:00Z", "of 2024-01-01: renew it"), ("", None)):
        _commit(tmp_path, date)
        if outcome is None:
            assert known_vulnerabilities(tmp_path) == []
            continue
        with pytest.raises(Skipped, match=outcome):
            known_vulnerabilities(tmp_path)


def test_the_command_passes_on_the_checkout_and_says_what_it_skips(tmp_path: Path) -> None:
    command = ["-m", "deploy.audit_security", "--out", str(tmp_path), "--advisories", str(tmp_path / "none")]
    environment = {**os.environ, "PYTHONPATH": PYTHON_PATH}
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = dict(line.split(": ", 1) for line in done.stdout.splitlines() if not line.startswith(" "))
    assert {name for name, text in results.items() if text == "ok"} >= {"code", "containers", "hashes", "licences"}
    assert results["vulnerabilities"].startswith("skipped, no copy")
    assert json.loads((tmp_path / "sbom.cdx.json").read_text()) == bill()
    assert "pillow 13.0.0: MIT-CMU\n" in (tmp_path / "licences.txt").read_text()


def _validator() -> jsonschema_rs.Draft7Validator:
    def schema(name: str) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((SCHEMAS / f"{name}.SNAPSHOT.schema.json").read_text())
        return loaded

    base = "http://cyclonedx.org/schema"
    named = {f"{base}/{name}.SNAPSHOT.schema.json": schema(name) for name in ("spdx", "jsf-0.82", "cryptography-defs")}
    registry = jsonschema_rs.Registry(list(named.items()))
    return jsonschema_rs.Draft7Validator(schema("bom-1.6"), registry=registry)


def _copy(folder: Path, record: str) -> None:
    (folder / "vulns/example").mkdir(parents=True)
    (folder / "vulns/example/PYSEC-2026-1.yaml").write_text(record)


def _commit(folder: Path, date: str) -> None:
    """Commit at the date, or now."""
    author = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    dates = {"GIT_COMMITTER_DATE": date} if date else {}
    for arguments in (["init", "-q"], [*author, "commit", "-q", "--allow-empty", "-m", "records"]):
        subprocess.run(["git", "-C", str(folder), *arguments], check=True, env={**os.environ, **dates})
