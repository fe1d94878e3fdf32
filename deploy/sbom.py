"""The software bill of materials in CycloneDX 1.6: ``python -m deploy.sbom dist/sbom.cdx.json``.

It lists what the images are built from: the locked Python packages with the hashes of their files, and the npm packages
in the studio. The same lock files give the same bytes, so it has no time and no serial number.
"""

import json
import sys
from pathlib import Path
from typing import Any

from deploy.locked import Package, all_packages
from ledger.version import VERSION

SCHEMA = "http://cyclonedx.org/schema/bom-1.6.schema.json"
INDEX = {"pypi": "https://pypi.org/project", "npm": "https://www.npmjs.com/package"}


def bill() -> dict[str, Any]:
    """The bill of materials, ready for JSON."""
    root = {"type": "application", "bom-ref": "lipe", "name": "lipe-server", "version": VERSION}
    packages = all_packages()
    return {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**root, "licenses": [{"expression": "Apache-2.0"}]}},
        "components": [_component(package) for package in packages],
        "dependencies": [{"ref": "lipe", "dependsOn": [package.purl for package in packages]}],
    }


def licence_list() -> str:
    """One line for each package: its licence as its metadata states it."""
    return "".join(f"{one.name} {one.version}: {one.licence or 'not installed here'}\n" for one in all_packages())


def _component(package: Package) -> dict[str, Any]:
    files = {
        "type": "distribution",
        "url": f"{INDEX[package.kind]}/{package.name}",
        "hashes": [{"alg": "SHA-256", "content": value} for value in package.hashes],
    }
    return {
        "type": "library",
        "bom-ref": package.purl,
        "name": package.name,
        "version": package.version,
        "purl": package.purl,
        **({"licenses": [{"license": {"name": package.licence}}]} if package.licence else {}),
        **({"externalReferences": [files]} if package.hashes else {}),
    }


def main(path: Path) -> None:
    """Write the bill of materials, and the list of licences beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(bill(), indent=1) + "\n")
    path.with_name("licences.txt").write_text(licence_list())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
