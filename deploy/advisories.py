"""Known vulnerabilities of the locked packages, by a local copy of the Python Packaging Advisory Database.

The copy is a clone of https://github.com/pypa/advisory-database: one OSV record (YAML) a file, in a folder for each
package. Nothing is fetched. A copy that is weeks old misses what was published since.
"""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from packaging.version import Version

from deploy.locked import Package


@dataclass(frozen=True)
class Vulnerability:
    """A locked version that a record names. `fixed` are the versions with a fix that the record knows."""

    package: Package
    record: str
    fixed: tuple[str, ...]


def date_of(copy: Path) -> datetime | None:
    """The time of the clone's newest commit. None: it is no clone."""
    command = ["git", "-C", str(copy), "log", "-1", "--format=%cI"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a fixed program
    return datetime.fromisoformat(done.stdout.strip()) if done.returncode == 0 and done.stdout.strip() else None


def vulnerabilities(copy: Path, packages: Sequence[Package]) -> list[Vulnerability]:
    """The records that name the packages' locked versions. Raises ValueError if the folder is no such copy."""
    if not (copy / "vulns").is_dir():
        raise ValueError(f"{copy} has no folder vulns: clone https://github.com/pypa/advisory-database")
    found = []
    for package in packages:
        if package.kind != "pypi":
            continue
        for file in sorted((copy / "vulns" / package.name).glob("*.yaml")):
            record = yaml.load(file.read_text(), Loader=_LOADER)  # noqa: S506 - a safe loader, in C where there is one
            affected = [one for one in record.get("affected", []) if one["package"]["name"].lower() == package.name]
            if not record.get("withdrawn") and any(_covers(one, package.version) for one in affected):
                fixed = {event["fixed"] for one in affected for event in _events(one) if "fixed" in event}
                found.append(Vulnerability(package, record["id"], tuple(sorted(fixed))))
    return found


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _events(affected: dict[str, Any]) -> list[dict[str, str]]:
    ranges = [one for one in affected.get("ranges", []) if one["type"] == "ECOSYSTEM"]
    return [event for one in ranges for event in one["events"]]


def _covers(affected: dict[str, Any], version: str) -> bool:
    """Whether the record lists the version, or the newest event up to it is not a fix."""
    public = Version(version).public
    if public in {str(listed) for listed in affected.get("versions", [])}:
        return True
    is_affected = False
    for event in sorted(_events(affected), key=_place):
        (kind, limit), *_ = event.items()
        if Version(limit) <= Version(public) and kind != "last_affected":
            is_affected = kind == "introduced"
        if kind == "last_affected" and Version(limit) < Version(public):
            is_affected = False
    return is_affected


def _place(event: dict[str, str]) -> Version:
    return Version(next(iter(event.values())))
