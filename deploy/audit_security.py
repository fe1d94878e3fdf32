"""All checks of the supply chain that need no network: ``make audit-security``. Status 1 at a finding.

A check that cannot run says so, and counts neither as passed nor as failed.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from deploy import advisories, digests, sbom
from deploy.containers import compose_findings, dockerfile_findings
from deploy.locked import PARTS, ROOT, all_packages, python_packages

ALLOWED = re.compile(r"Apache|MIT|BSD|ISC|PSF|Python Software Foundation|MPL[- ]2\.0|LGPL|Lesser General Public")
REFUSED = re.compile(r"AGPL|Affero|SSPL|(?<!L)GPL-|GPLv|[Nn]on-?[Cc]ommercial|Proprietary")
STALE = timedelta(days=30)


class Skipped(Exception):
    """The check cannot run here. The message says why, and what to do."""


def code() -> list[str]:
    """Findings of ruff's security rules, which are those of bandit."""
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--select", "S", "--output-format", "concise", "."],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return [line for line in (done.stdout + done.stderr).splitlines() if re.search(r": S\d+ |error:", line)]


def containers() -> list[str]:
    """Broken rules of the container files."""
    stack = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    files = [ROOT / name for name in digests.FILES if name.startswith("Dockerfile")]
    return [*compose_findings(stack), *(one for file in files for one in dockerfile_findings(file))]


def hashes() -> list[str]:
    """Locked packages without hashes."""
    return [f"{part}: {one.name}" for part in PARTS for one in python_packages(part) if not one.hashes]


def licences() -> list[str]:
    """Packages under a licence that is not on the list."""
    stated = {f"{one.name} {one.version}": one.licence for one in all_packages() if one.licence}
    return [f"{name}: {text}" for name, text in stated.items() if not ALLOWED.search(text) or REFUSED.search(text)]


def image_digests() -> list[str]:
    """Images that have a version and no digest."""
    missing = sorted({image for _, text in digests.texts() for image in digests.unpinned(text)})
    if missing:
        raise Skipped(f"no digest: {', '.join(missing)}; `make digests` asks the registries and writes them")
    return []


def known_vulnerabilities(copy: Path) -> list[str]:
    """Locked versions that the local copy of the advisories names."""
    if not copy.is_dir():
        raise Skipped(f"no copy: git clone --depth 1 https://github.com/pypa/advisory-database {copy}")
    date = advisories.date_of(copy)
    found = advisories.vulnerabilities(copy, all_packages())
    findings = [
        f"{one.package.name} {one.package.version}: {one.record}, fixed in {', '.join(one.fixed) or 'no version'}"
        for one in found
    ]
    if not findings and (date is None or datetime.now(UTC) - date > STALE):
        raise Skipped(
            f"nothing found, but the copy is of {date:%Y-%m-%d}: renew it" if date else "the copy has no date"
        )
    return findings


def main(out: Path, copy: Path) -> int:
    """Run all checks, write the bill of materials, and return the exit status."""
    checks: dict[str, Callable[[], list[str]]] = {
        "code": code,
        "containers": containers,
        "image digests": image_digests,
        "hashes": hashes,
        "licences": licences,
        "vulnerabilities": lambda: known_vulnerabilities(copy),
    }
    status = 0
    for name, check in checks.items():
        try:
            findings = check()
        except Skipped as reason:
            print(f"{name}: skipped, {reason}")
            continue
        print(f"{name}: {'ok' if not findings else f'{len(findings)} findings'}")
        for finding in findings:
            print(f"  {finding}")
        status |= bool(findings)
    sbom.main(out / "sbom.cdx.json")
    print(f"bill of materials: {out / 'sbom.cdx.json'}, licences: {out / 'licences.txt'}")
    return status


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "out/security")
    parser.add_argument("--advisories", type=Path, default=ROOT / "out/advisory-database")
    arguments = parser.parse_args()
    sys.exit(main(arguments.out, arguments.advisories))
