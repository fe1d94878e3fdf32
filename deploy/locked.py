"""The locked packages of requirements/ and of the npm lock files, with the licences of those that are installed."""

import json
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("api", "worker", "torch-cpu", "torch-cuda", "build")
"""The files of requirements/ from which images are built."""
NPM_LOCKS = ("web/package-lock.json",)
PIN = re.compile(r"^([\w.-]+)==([^\s;\\]+)", re.MULTILINE)
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Package:
    """A locked package. `hashes` are the SHA-256 of its files on PyPI; `licence` is "" if it is not installed here."""

    kind: str
    name: str
    version: str
    hashes: tuple[str, ...] = ()
    licence: str = ""

    @property
    def purl(self) -> str:
        """The package's URL, by the purl specification."""
        return f"pkg:{self.kind}/{self.name.replace('@', '%40')}@{self.version.replace('+', '%2B')}"


def python_packages(part: str) -> list[Package]:
    """The packages of requirements/PART.txt."""
    text = (ROOT / "requirements" / f"{part}.txt").read_text()
    starts = [*PIN.finditer(text)]
    ends = [*(match.start() for match in starts[1:]), len(text)]
    return [
        Package(
            "pypi",
            found[1].lower().replace("_", "-"),
            found[2],
            tuple(HASH.findall(text[found.end() : end])),
            licence(found[1]),
        )
        for found, end in zip(starts, ends, strict=True)
    ]


def npm_packages() -> list[Package]:
    """The packages that the studio's files contain, from its lock file."""
    locks = [json.loads((ROOT / lock).read_text())["packages"] for lock in NPM_LOCKS]
    return [
        Package("npm", name.rpartition("node_modules/")[2], facts["version"], (), facts.get("license", ""))
        for packages in locks
        for name, facts in packages.items()
        if name and not facts.get("dev")
    ]


def all_packages() -> list[Package]:
    """Every locked package once, by kind and name; torch has two builds."""
    python = [package for part in PARTS for package in python_packages(part)]
    unique = {(package.kind, package.name, package.version): package for package in [*python, *npm_packages()]}
    return [unique[key] for key in sorted(unique)]


def licence(name: str) -> str:
    """The licence of an installed package by its metadata; "" if it is not installed.

    A licence's whole text counts by its first line.
    """
    try:
        facts = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return ""
    if expressions := facts.get_all("License-Expression", []):
        return str(expressions[0])
    stated = [text.strip().split("\n")[0] for text in facts.get_all("License", [])]
    kinds = [line.rpartition(" :: ")[2] for line in facts.get_all("Classifier", []) if line.startswith("License")]
    return "; ".join([*stated, *kinds])
