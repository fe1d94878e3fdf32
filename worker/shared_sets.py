"""Regularization sets in the object storage, so that each machine need not generate those of common classes again.

A set is stored only if nothing of it comes from a user: its class noun consists of known words, and the request has no
regularization settings of its own. Sets of other nouns stay on the machine, since no erasure would find their objects.
A storage that is away costs the time to generate the set.
"""

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ledger.categories import has_known_words_only
from ledger.storage import NoSuchObject, StorageError
from worker.attempt import Attempt
from worker.context import WorkerContext

PREFIX = "shared/regularization/"
"""Outside the prefix of the projects: no orphan sweep and no erasure looks there."""
MAX_SETS = 200
CONTENT_TYPE = "application/octet-stream"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoredSets:
    """The sets of all machines. A file's name has the hash of base model, prompts and settings."""

    context: WorkerContext
    attempt: Attempt

    def fetch(self, file: Path) -> bool:
        """Download the set of this name, checked by the SHA-256 in its key. False: there is none."""
        try:
            key = next(self.context.storage.keys(f"{PREFIX}{file.stem}/"), None)
            if key is None:
                return False
            sha256 = key.rpartition("-")[2].removesuffix(file.suffix)
            self.attempt.run_in_thread(partial(self.context.storage.download, key, sha256, file))
        except (StorageError, NoSuchObject) as error:
            log.warning("job %s: generates its regularization set: %s", self.attempt.claim.job_id, error)
            return False
        return True

    def store(self, file: Path, sha256: str) -> None:
        """Store the set, and delete the oldest beyond MAX_SETS."""
        storage = self.context.storage
        try:
            name = f"{sha256}{file.suffix}"
            self.attempt.run_in_thread(partial(storage.put, f"{PREFIX}{file.stem}/", name, file, CONTENT_TYPE))
            for key, _ in sorted(storage.page(PREFIX, ""), key=lambda entry: entry[1])[:-MAX_SETS]:
                storage.delete(key)
        except StorageError as error:
            log.warning("job %s: its regularization set stays here: %s", self.attempt.claim.job_id, error)


def sets_for(context: WorkerContext, attempt: Attempt, class_noun: str, own: dict[str, Any]) -> StoredSets | None:
    """The shared sets, if the job may use them; `own` are the regularization settings of its request."""
    return None if own or not has_known_words_only(class_noun) else StoredSets(context, attempt)
