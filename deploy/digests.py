"""Pin the images of containers and of the chart by digest: ``make digests``. It asks their registries.

An image keeps its tag for readers and for programs that renew digests: ``postgres:18@sha256:...``. A digest names one
index of all platforms, so it holds on every architecture.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[1]
FILES = ("docker-compose.yml", "Dockerfile.api", "Dockerfile.worker", "deploy/helm/lipe/values.yaml")
IMAGE = re.compile(r"(?:^ +image: |^ARG \w+_IMAGE=|\$\{\w+_IMAGE:-)(?P<image>(?!lipe-)[^\s}]+)", re.MULTILINE)
INDEXES = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_HUB = "https://registry-1.docker.io"
CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


class NoDigest(RuntimeError):
    """The registry named no digest for an image."""


def images(text: str) -> list[str]:
    """The images that a file names, with their tags and without their digests."""
    return sorted({found["image"].partition("@")[0] for found in IMAGE.finditer(text)})


def unpinned(text: str) -> list[str]:
    """The images of a file that have no digest."""
    return sorted({found["image"] for found in IMAGE.finditer(text) if "@sha256:" not in found["image"]})


def pinned(text: str, digests: dict[str, str]) -> str:
    """The file's text with these digests in place of its own."""

    def pin(found: re.Match[str]) -> str:
        image = found["image"].partition("@")[0]
        return found[0].removesuffix(found["image"]) + f"{image}@{digests[image]}"

    return IMAGE.sub(pin, text)


def digest_of(client: httpx.Client, image: str, registry: str | None = None) -> str:
    """The digest of an image by its registry, by default the one of its name. Raises NoDigest, httpx.HTTPError."""
    name, _, tag = image.rpartition(":")
    host, _, path = name.partition("/")
    if "." in host or ":" in host:
        base, repository = f"https://{host}", path
    else:
        base, repository = DOCKER_HUB, name if path else f"library/{name}"
    url, headers = f"{registry or base}/v2/{repository}/manifests/{tag}", {"Accept": INDEXES}
    answer = client.head(url, headers=headers)
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        challenge = dict(CHALLENGE.findall(answer.headers["WWW-Authenticate"]))
        token = client.get(challenge.pop("realm"), params=challenge).raise_for_status().json()["token"]
        answer = client.head(url, headers={**headers, "Authorization": f"Bearer {token}"})
    digest = answer.headers.get("Docker-Content-Digest", "") if answer.is_success else ""
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise NoDigest(f"the registry names no digest for {image}: status {answer.status_code}")
    return str(digest)


def texts() -> Iterator[tuple[Path, str]]:
    """The files that name images, with their texts."""
    for name in FILES:
        yield ROOT / name, (ROOT / name).read_text()


def main() -> None:
    """Renew the digests in all files, or change none."""
    try:
        with httpx.Client(timeout=30) as client:
            names = sorted({image for _, text in texts() for image in images(text)})
            digests = {image: digest_of(client, image) for image in names}
    except (NoDigest, httpx.HTTPError) as error:
        sys.exit(f"no file was changed: {error}")
    for path, text in texts():
        path.write_text(pinned(text, digests))
    for image, digest in digests.items():
        print(image, digest)


if __name__ == "__main__":
    main()
