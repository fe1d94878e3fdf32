"""Downloaded files on disk."""

import hashlib
from pathlib import Path


def save_verified(content: bytes, path: Path, sha256: str | None) -> Path:
    """Write a file atomically and return its path. Raises OSError if `sha256` is given and does not match."""
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise OSError(f"the bytes downloaded for {path} do not have the SHA-256 that the service gave: download again")
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_bytes(content)
    return unfinished.replace(path)
