"""The results of an edit job: each is composed, encoded, stored and recorded before the next one.

This needs no GPU, so that a worker runs the next job meanwhile.

Memory is bounded by one result, because a photo of 48 megapixels takes 150 MB, and each result has four images. An
attempt that dies loses only what it had not stored: the next attempt generates the missing results alone.
"""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any, NamedTuple

from ledger import attempts
from ledger.artefacts import NewArtefact
from ledger.database import UNAVAILABLE
from ledger.partial_results import PartialResults
from ledger.storage import attempt_prefix
from lipe_core.methods.request import Edit, EditImages, EditRequest
from provenance.edit_manifest import Region
from worker.attempt import Attempt, ClaimLost
from worker.context import WorkerContext
from worker.credentials import ResultCredentials, edited_region
from worker.job_result import JobResult
from worker.output_format import MASK_FORMAT, OutputFormat
from worker.policy import require_policy
from worker.published import Marks, published

ENCODERS = 2
UNCOMPOSITED = "uncomposited"
STAGE = "storing"


class Encoded(NamedTuple):
    """The files of some of an edit's images, and the region that may have changed."""

    contents: list[bytes]
    region: Region | None


@dataclass
class ResultStore:
    """Stores the results of one attempt. `resolved` are the settings that all results of the job share.

    `output_format` is that of the images; masks are PNG. `roles` are those of the files. `credentials` is None if
    results are not signed, and `marks` if they are archival.

    A result has a number, from 1, in the order of the request's prompts and seeds.
    """

    context: WorkerContext
    attempt: Attempt
    request: EditRequest
    output_format: OutputFormat
    roles: Sequence[str]
    resolved: dict[str, Any]
    credentials: ResultCredentials | None
    marks: Marks | None
    stored: dict[int, list[NewArtefact]] = field(default_factory=dict)
    _taken: dict[int, Edit] = field(default_factory=dict)

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
        """The numbers of the results that are not generated."""
        made = self.stored.keys() | self._taken.keys()
        return [number for number in range(1, len(self.rows) + 1) if number not in made]

    @property
    def files(self) -> list[NewArtefact]:
        """The files of all results, in the order of their numbers."""
        return [file for number in sorted(self.stored) for file in self.stored[number]]

    @property
    def partial(self) -> PartialResults:
        """The stored results, with their settings."""
        return PartialResults(self.resolved, self.stored)

    def take(self, numbers: Sequence[int], edits: Sequence[Edit]) -> None:
        """Take edits over and store those taken before. The last ones are stored by `finish`, without the GPU.

        Raises the same exceptions as `Attempt.report`.
        """
        self._store_taken()
        self._taken = {n: edit for n, edit in zip(numbers, edits, strict=True) if n not in self.stored}

    def finish(self) -> JobResult:
        """Store what is left. Returns the result of the job. Raises the same exceptions as `Attempt.report`."""
        self._store_taken()
        return JobResult([], self.resolved, stored=self.files, partial=self.partial)

    def _store_taken(self) -> None:
        if not self._taken:
            return
        with self.attempt.stage(STAGE, len(self.stored), len(self.rows)):
            for number in sorted(self._taken):
                self.stored[number] = self._store(number, self._taken[number])
                self.resolved["evaluations"] = self._taken.pop(number).evaluations
                self._record()
                self.attempt.report(STAGE, len(self.stored), len(self.rows))

    def _store(self, number: int, edit: Edit) -> list[NewArtefact]:
        claim, details = self.attempt.claim, {"target_prompt": edit.target_prompt, "seed": edit.seed}
        prefix = attempt_prefix(claim.project_id, claim.job_id, claim.epoch)
        formats = file_formats(self.output_format, self.roles)
        names = [f"{role}-{number}.{file.suffix}" for role, file in zip(self.roles, formats, strict=True)]
        types = [file.content_type for file in formats]
        contents = self.attempt.run_in_thread(partial(self._files, edit, names, types))
        puts = [
            partial(self.context.storage.put, prefix, name, content, content_type)
            for name, content, content_type in zip(names, contents, types, strict=True)
        ]
        stored = self.attempt.retry_storage_all(puts)
        files = [
            NewArtefact(role, name, content_type, put, details)
            for role, name, content_type, put in zip(self.roles, names, types, stored, strict=True)
        ]
        require_policy(self.context, self.attempt, edit.target_prompt, files)
        return files

    def _files(self, edit: Edit, names: Sequence[str], types: Sequence[str]) -> list[bytes]:
        """The contents of the edit's files, with credentials if the service signs. Raises SigningFailed."""
        encoded = encode(edit, self.output_format, self.roles, self.marks)
        if self.credentials is None:
            return encoded.contents
        sign = partial(self.credentials.sign, edit, encoded.region)
        return list(map(sign, self.roles, names, encoded.contents, types))

    def _record(self) -> None:
        """Record and announce all results so far. Without the database, the next record includes this one.

        The end of the job records what is left.
        """
        with suppress(*UNAVAILABLE):
            with self.context.begin() as session:
                is_kept = attempts.keep(session, self.attempt.claim, self.partial, self.context.storage)
            if not is_kept:
                raise ClaimLost


def result_roles(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """The roles of each result's files by the parameters of the job, in the order of `EditImages`.

    `uncomposited` is as large as the image itself, and few read it: the request has to include it.
    """
    included = parameters.get("include", ())
    return tuple(role for role in EditImages._fields if role != UNCOMPOSITED or role in included)


def encode(edit: Edit, output_format: OutputFormat, roles: Sequence[str], marks: Marks | None = None) -> Encoded:
    """Make the edit's images, with `marks` if they are published, and encode those of `roles`, ENCODERS at once."""
    made = edit.images()
    images = [made._asdict()[role] for role in roles]
    if marks is not None:
        mark = partial(published, edit, edit_mask=made.edit_mask, marks=marks)
        images = list(map(mark, roles, images))
    with ThreadPoolExecutor(ENCODERS) as encoders:
        contents = list(encoders.map(OutputFormat.encode, file_formats(output_format, roles), images))
    return Encoded(contents, edited_region(edit, made.edit_mask))


def file_formats(output_format: OutputFormat, roles: Sequence[str]) -> list[OutputFormat]:
    """The format of the images of these roles."""
    return [MASK_FORMAT if role.endswith("_mask") else output_format for role in roles]
