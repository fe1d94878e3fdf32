"""The results of an edit job: each is composed, encoded, stored and recorded before the next one.

Memory is bounded by one result, because a photo of 48 megapixels takes 150 MB, and each result has four images. An
attempt that dies loses only what it had not stored: the next attempt generates the missing results alone.
"""

import io
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any

from PIL import Image

from ledger import attempts
from ledger.artefacts import NewArtefact
from ledger.database import UNAVAILABLE
from ledger.partial_results import PartialResults
from ledger.storage import attempt_prefix
from lipe_core.methods.request import Edit, EditImages, EditRequest
from worker.attempt import Attempt, ClaimLost
from worker.context import WorkerContext

PNG_COMPRESSION = 3
"""zlib's level. At 4032 x 3024, its default 6 takes 1.5 times as long and saves 9 %."""
ENCODERS = 2
STAGE = "storing"


@dataclass
class ResultStore:
    """Stores the results of one attempt. `resolved` are the settings that all results of the job share.

    A result has a number, from 1, in the order of the request's prompts and seeds.
    """

    context: WorkerContext
    attempt: Attempt
    request: EditRequest
    resolved: dict[str, Any]
    stored: dict[int, list[NewArtefact]] = field(default_factory=dict)

    def resume(self, partial: PartialResults | None) -> None:
        """Take over the results of earlier attempts, unless they were made with other settings."""
        own = json.loads(json.dumps(self.resolved))  # as it is recorded, with lists for tuples
        if partial is not None and partial.resolved.items() >= own.items():
            self.resolved = dict(partial.resolved)
            self.stored = dict(partial.files)

    @property
    def rows(self) -> list[tuple[str, int]]:
        """The target prompt and the seed of each result."""
        return list(product(self.request.target_prompts, self.request.seeds))

    @property
    def missing(self) -> list[int]:
        """The numbers of the results that are not stored."""
        return [number for number in range(1, len(self.rows) + 1) if number not in self.stored]

    @property
    def files(self) -> list[NewArtefact]:
        """The files of all results, in the order of their numbers."""
        return [file for number in sorted(self.stored) for file in self.stored[number]]

    def store(self, numbers: Sequence[int], edits: Sequence[Edit]) -> None:
        """Store the edits one by one, without those that are stored. Raises the same exceptions as `Attempt.report`."""
        with self.attempt.stage(STAGE, len(self.stored), len(self.rows)):
            for number, edit in zip(numbers, edits, strict=True):
                if number not in self.stored:
                    self.stored[number] = self._store(number, edit)
                    self.resolved["evaluations"] = edit.evaluations
                    self._record()
                    self.attempt.report(STAGE, len(self.stored), len(self.rows))

    def _store(self, number: int, edit: Edit) -> list[NewArtefact]:
        claim, details = self.attempt.claim, {"target_prompt": edit.target_prompt, "seed": edit.seed}
        prefix = attempt_prefix(claim.project_id, claim.job_id, claim.epoch)
        contents = self.attempt.run_in_thread(partial(encode, edit))
        names = [f"{role}-{number}.png" for role in EditImages._fields]
        puts = [
            partial(self.context.storage.put, prefix, name, content, "image/png")
            for name, content in zip(names, contents, strict=True)
        ]
        stored = self.attempt.retry_storage_all(puts)
        return [
            NewArtefact(role, name, "image/png", put, details)
            for role, name, put in zip(EditImages._fields, names, stored, strict=True)
        ]

    def _record(self) -> None:
        """Record all results so far. Without the database, the record of the next result includes this one."""
        with suppress(*UNAVAILABLE):
            with self.context.begin() as session:
                is_kept = attempts.keep(session, self.attempt.claim, PartialResults(self.resolved, self.stored))
            if not is_kept:
                raise ClaimLost


def encode(edit: Edit) -> list[bytes]:
    """Make the edit's images and encode each as PNG, ENCODERS at once."""
    with ThreadPoolExecutor(ENCODERS) as encoders:
        return list(encoders.map(_png, edit.images()))


def _png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG", compress_level=PNG_COMPRESSION)
    return content.getvalue()
