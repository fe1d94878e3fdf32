"""Rules for the Dockerfiles and docker-compose.yml, checked without a container engine.

Each function returns its findings as sentences; none means that all rules hold. An image is pinned by a digest, or at
least by a tag with a version. `deploy/digests.py` writes the digests.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
VERSIONED = re.compile(r":v?\d+(\.\d+)*([.-][\w.-]+)?$")
SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|PEPPER|PRIVATE|(^|_)KEY$|ACCESS_KEY", re.IGNORECASE)
SECRET_VALUE = re.compile(r"://[^/\s:@]*:[^@/\s]+@|BEGIN [A-Z ]*PRIVATE KEY|lipe_[a-z0-9]{20}|whsec_")
ROOTS = {"", "root", "0"}


def dockerfile_findings(path: Path) -> list[str]:
    """The rules that a Dockerfile breaks: its base images, its user, its secrets, its downloads."""
    lines = list(_instructions(path.read_text()))
    arguments = dict(_assignments(rest) for name, rest in lines if name == "ARG" and "=" in rest)
    stages: set[str] = set()
    found, user = [], ""
    for name, rest in lines:
        if name == "FROM":
            image, _, stage = re.sub(r"^--\S+\s+", "", rest).partition(" AS ")
            image = re.sub(r"\$\{?(\w+)\}?", lambda match: arguments.get(match[1], ""), image)
            if image not in stages | {"scratch"}:
                found += _image_findings(image)
            stages, user = stages | {stage.strip()}, ""
        elif name == "USER":
            user = rest.partition(":")[0]
        elif name in {"ARG", "ENV"}:
            found += [f"{name} {word} has a secret" for word in rest.split() if _is_secret(*_assignments(word))]
        elif name == "ADD":
            found.append("ADD may download: use COPY")
        elif name == "RUN":
            found += _download_findings(rest)
    if user in ROOTS:
        found.append("the last stage runs as root: name another USER")
    return [f"{path.name}: {one}" for one in found]


def compose_findings(stack: dict[str, Any]) -> list[str]:
    """The rules that a parsed compose file breaks: the privileges, images and secrets of each service."""
    found = []
    for name, service in stack["services"].items():
        found += [f"{name}: {one}" for one in _service_findings(service)]
    return found


def _service_findings(service: dict[str, Any]) -> Iterator[str]:
    if str(service.get("user") or "").partition(":")[0] in ROOTS:
        yield "runs as root, or as the user of its image: set user"
    if service.get("cap_drop") != ["ALL"] or service.get("cap_add"):
        yield "keeps capabilities: set cap_drop to [ALL]"
    if service.get("read_only") is not True:
        yield "may write to its root: set read_only"
    if "no-new-privileges:true" not in service.get("security_opt", []):
        yield "may gain privileges: set security_opt to no-new-privileges:true"
    if service.get("privileged") or "host" in {service.get(name) for name in ("network_mode", "pid", "ipc")}:
        yield "shares the host's namespaces"
    if any("docker.sock" in str(volume) for volume in service.get("volumes", [])):
        yield "controls the container engine"
    for variable, value in (service.get("environment") or {}).items():
        if _is_secret(variable, str(value or "")):
            yield f"{variable} has a secret: use a file of secrets"
    if not service["image"].startswith("lipe-"):
        yield from _image_findings(service["image"])


def _image_findings(image: str) -> list[str]:
    if DIGEST.search(image) or VERSIONED.search(image):
        return []
    return [f"the image {image or '(none)'} has no version: name one"]


def _is_secret(name: str, value: str) -> bool:
    """Whether a variable holds a secret. A path of a file, and a value of the operator's own, hold none."""
    is_literal = bool(value) and not value.startswith(("/", "${"))
    return bool(SECRET_VALUE.search(value)) or (is_literal and bool(SECRET_NAME.search(name)))


def _download_findings(command: str) -> Iterator[str]:
    for part in re.split(r"&&|;", command):
        if re.search(r"\b(curl|wget)\b.*\|\s*(ba)?sh\b", part):
            yield "runs a script from the network"
        elif re.search(r"\bpip\b.*\b(install|wheel|download)\b", part) and not _is_hashed(part):
            yield f"installs without hashes: {' '.join(part.split())[:120]}"
        elif re.search(r"\bnpm install\b", part):
            yield "npm install ignores the lock file: use npm ci"


def _is_hashed(command: str) -> bool:
    """Whether pip checks hashes, or installs local files alone and fetches nothing to build them."""
    is_local = "--no-deps" in command and ("--no-index" in command or "--no-build-isolation" in command)
    return "--require-hashes" in command or is_local


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    joined = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE))
    for line in joined.splitlines():
        name, _, rest = line.strip().partition(" ")
        if name:
            yield name.upper(), rest.strip()


def _assignments(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name, value
