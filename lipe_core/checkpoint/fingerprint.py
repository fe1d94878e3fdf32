"""The fingerprint of a base model: a SHA-256 over the weight files that are loaded. A prior fits one fingerprint."""

import hashlib
import re
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from lipe_core.checkpoint.weights import ALL_STEMS, weight_files


def fingerprint(folder: Path, cache: Path | None = None) -> str:
    """The SHA-256 over names and contents of the weight files.

    `cache` is a folder that keeps the hash of each file, because SDXL's 7 GB take many seconds. A file is hashed again
    when its path, size or time of modification has changed.
    """
    digest = hashlib.sha256()
    for component in sorted(ALL_STEMS):
        files = weight_files(folder, component)
        for file in files.paths if files else ():
            digest.update(file.relative_to(folder).as_posix().encode())
            digest.update(bytes.fromhex(_cached_sha256(file, cache) if cache else _sha256(file)))
    return digest.hexdigest()


def _cached_sha256(file: Path, cache: Path) -> str:
    status = file.stat()
    key = f"{file.resolve()}\n{status.st_size}\n{status.st_mtime_ns}"
    entry = cache / hashlib.sha256(key.encode()).hexdigest()
    if entry.is_file() and re.fullmatch(rb"[0-9a-f]{64}", known := entry.read_bytes()):
        return known.decode()
    sha256 = _sha256(file)
    with suppress(OSError):  # a full disk costs the time of another hash, and not the model
        _keep(entry, sha256)
    return sha256


def _keep(entry: Path, sha256: str) -> None:
    entry.parent.mkdir(parents=True, exist_ok=True)
    # Another worker may write the same entry: a reader must never see half of one.
    with NamedTemporaryFile("w", dir=entry.parent, delete=False) as written:
        try:
            written.write(sha256)
            written.flush()
        except OSError:
            Path(written.name).unlink()
            raise
    Path(written.name).replace(entry)


def _sha256(file: Path) -> str:
    with file.open("rb") as weights:
        return hashlib.file_digest(weights, "sha256").hexdigest()  # reads in small pieces
