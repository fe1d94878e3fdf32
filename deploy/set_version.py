"""Write a version into every file that states it: ``make version VERSION=0.3.0``.

`ledger/version.py` is the place that the programs read. The other files are read without it: by packaging tools, by
npm, by Docker. `tests/test_version.py` compares them. The changelog gets a section for the version.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NUMBER = r"\d+\.\d+\.\d+"
PLACES = {  # file -> patterns, each with the version as its only group
    "ledger/version.py": [rf'^VERSION = "({NUMBER})"'],
    "clients/python/lipe_client/version.py": [rf'^VERSION = "({NUMBER})"'],
    "pyproject.toml": [rf'"lipe-client==({NUMBER})"'],
    "Dockerfile.api": [rf"^ARG VERSION=({NUMBER})"],
    "Dockerfile.worker": [rf"^ARG VERSION=({NUMBER})"],
    "clients/typescript/package.json": [rf'^  "version": "({NUMBER})"'],
    "clients/typescript/package-lock.json": [
        rf'^  "version": "({NUMBER})"',
        rf'"name": "lipe-client",\n      "version": "({NUMBER})"',
    ],
    "clients/typescript/src/version.ts": [rf'VERSION = "({NUMBER})"'],
    "deploy/helm/lipe/Chart.yaml": [rf"^version: ({NUMBER})", rf'^appVersion: "({NUMBER})"'],
    "docs/openapi.json": [rf'^  "version": "({NUMBER})"'],
}
SECTION = rf"^## ({NUMBER}) - (unreleased|\d{{4}}-\d\d-\d\d)$"
"""A version's heading in CHANGELOG.md."""


def stated(root: Path) -> dict[str, str]:
    """The version that each place states. Raises ValueError if a place states none, or two."""
    found = {}
    for file, patterns in PLACES.items():
        text = (root / file).read_text()
        for number, pattern in enumerate(patterns):
            versions = re.findall(pattern, text, flags=re.M)
            if len(versions) != 1:
                raise ValueError(f"{file} states the version {len(versions)} times, not once: {pattern}")
            found[f"{file}[{number}]"] = versions[0]
    return found


def set_version(root: Path, version: str) -> None:
    """Write the version into every place, and its section into the changelog if that has none."""
    if not re.fullmatch(NUMBER, version):
        raise ValueError(f"{version!r} is not a version such as 0.3.0")
    stated(root)
    for file, patterns in PLACES.items():
        text = (root / file).read_text()
        for pattern in patterns:
            text = re.sub(pattern, lambda match: match[0].replace(match[1], version), text, flags=re.M)
        (root / file).write_text(text)
    changelog = (root / "CHANGELOG.md").read_text()
    newest = re.search(SECTION, changelog, flags=re.M)
    if newest is None:
        raise ValueError("CHANGELOG.md has no section such as `## 0.3.0 - unreleased`")
    if newest[1] != version:
        section = f"## {version} - unreleased\n\n"
        (root / "CHANGELOG.md").write_text(changelog[: newest.start()] + section + changelog[newest.start() :])


if __name__ == "__main__":
    try:
        set_version(ROOT, *sys.argv[1:])
    except (ValueError, TypeError) as error:
        raise SystemExit(f"usage: {sys.argv[0]} VERSION: {error}") from error
