"""Snapshots of a training: adapters of earlier steps, stored while it runs, so that a user can choose another than the
last one.

A snapshot is an object of the job as soon as it is stored, and the next attempt on any machine has it. An error of a
snapshot loses that snapshot and never fails the job.
"""

import hashlib
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from ledger import attempts, jobs, partial_results
from ledger.artefacts import NewArtefact
from ledger.database import UNAVAILABLE
from ledger.storage import StorageError, attempt_prefix
from lipe_core.adapters.prior import ADAPTER, MANIFEST, adapter_file
from lipe_core.backbone import BaseModel
from lipe_core.training.config import PriorConfig
from lipe_core.training.learn import TrainingSet
from lipe_core.training.snapshots import Scores, Snapshot, recommended
from worker.attempt import Attempt
from worker.context import WorkerContext
from worker.job_result import File, JobResult

DEFAULT_COUNT = 3
"""The snapshots of a LoRA besides the last step's. Full attention weights are a hundred times as large: none."""

log = logging.getLogger(__name__)


def snapshot_count(parameters: Mapping[str, Any], config: PriorConfig) -> int:
    """The number of snapshots besides the last step's that the job's parameters ask for; null is the default.

    A job of the release before this one asks for none.
    """
    requested = parameters.get("snapshots", 0)
    if requested is not None:
        return int(requested)
    return DEFAULT_COUNT if config.tuning == "lora" else 0


def training_name(training_set: TrainingSet, model: BaseModel) -> str:
    """A hash of the base model, the texts and the settings: snapshots of another training are not this prior's."""
    content = [training_set.digest(model), asdict(training_set.config)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]


@dataclass
class SnapshotStore:
    """Stores the snapshots of one attempt. `last` has step and scores of the result; `training` is `training_name`."""

    context: WorkerContext
    attempt: Attempt
    training: str
    last: Snapshot | None = None

    def keep(self, snapshot: Snapshot, steps: int) -> None:
        """Store the snapshot. Of the last step's only the scores are kept: its adapter is stored at the job's end."""
        scores = snapshot.scores
        if not math.isfinite(scores.identity) or not math.isfinite(scores.flexibility or 0.0):
            log.warning("job %s: step %d has no scores: they overflow", self.attempt.claim.job_id, snapshot.step)
        elif snapshot.step == steps:
            self.last = replace(snapshot, adapter={})
        else:
            self._store(snapshot)

    def _store(self, snapshot: Snapshot) -> None:
        """Store the adapter and record it in the job. An error is logged, and the snapshot is lost."""
        self.attempt.leaves_objects = True
        claim, name = self.attempt.claim, f"step-{snapshot.step}-{ADAPTER}"
        prefix = attempt_prefix(claim.project_id, claim.job_id, claim.epoch)
        try:
            stored = self.context.storage.put(prefix, name, adapter_file(snapshot.adapter), "application/octet-stream")
            file = NewArtefact("snapshot", name, "application/octet-stream", stored, details(snapshot))
            with self.context.begin() as session:
                is_kept = attempts.keep_snapshot(session, claim, self.training, file)
            if not is_kept:
                self.context.storage.delete(stored.key)
        except (StorageError, SQLAlchemyError, *UNAVAILABLE) as error:
            log.warning("job %s: the snapshot of step %d is lost: %s", claim.job_id, snapshot.step, error)

    def stored(self) -> list[NewArtefact]:
        """The snapshots of this training that this attempt and earlier ones stored, first step first."""
        claim = self.attempt.claim
        with self.context.begin() as session:
            job = jobs.get(session, claim.project_id, claim.job_id)
            return partial_results.read_snapshots(job, self.training) if job is not None else []


def details(snapshot: Snapshot) -> dict[str, Any]:
    """The facts about a snapshot that its artefact has."""
    identity, flexibility = snapshot.scores.identity, snapshot.scores.flexibility
    return {
        "step": snapshot.step,
        "identity": round(identity, 4),
        "flexibility": None if flexibility is None else round(flexibility, 4),
    }


def with_snapshots(result: JobResult, store: SnapshotStore) -> JobResult:
    """The result of a training with its snapshots, each with a manifest as the last step's adapter has one.

    Without the scores of the last step there is nothing to choose from, and the result stays as it is.
    """
    if store.last is None or result.manifest is None:
        return result
    earlier = store.stored()
    facts = [*(file.details for file in earlier), details(store.last)]
    best = recommended([Scores(fact["identity"], fact["flexibility"]) for fact in facts])
    facts = [{**fact, "is_recommended": number == best} for number, fact in enumerate(facts)]
    snapshots = [replace(file, details=fact) for file, fact in zip(earlier, facts, strict=False)]
    of_last = {"adapter": facts[-1], "manifest": {"step": store.last.step}}
    files = [replace(file, details=of_last[file.role]) for file in result.files]
    manifests = [_manifest(result.manifest, file) for file in snapshots]
    return replace(result, files=files + manifests, stored=[*snapshots, *result.stored])


def _manifest(of_last: Mapping[str, Any], snapshot: NewArtefact) -> File:
    """The manifest of a snapshot. `losses` are those of the whole training."""
    content = json.dumps({**of_last, "adapter_sha256": snapshot.stored.sha256}, indent=2, ensure_ascii=False)
    step = snapshot.details["step"]
    return File(
        "snapshot_manifest", f"step-{step}-{MANIFEST}", "application/json", f"{content}\n".encode(), {"step": step}
    )
