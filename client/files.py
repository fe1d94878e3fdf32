"""Downloads on the disk."""

import hashlib
from pathlib import Path


def saved(content: bytes, path: Path, sha256: str | None) -> Path:
    """The file, whole or not at all. Raises OSError unless its hash is `sha256`, where that is known."""
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise OSError(f"what was fetched for {path} is not what the service promised: fetch it again")
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_bytes(content)
    return unfinished.replace(path)
