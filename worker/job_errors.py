"""The error codes of failed jobs. docs/problems.md explains each."""

from ledger.storage import NoSuchObject, ObjectDamaged, StorageError
from lipe_core.errors import (
    InvalidCaptions,
    InvalidParameters,
    InvalidPrior,
    InvalidRequest,
    InvalidSubject,
    PriorMismatch,
    TrainingDiverged,
)
from provenance.signing import SigningFailed
from worker.attempt import OverTime
from worker.captioner import CaptionerUnavailable
from worker.gpu import GpuOutOfMemory
from worker.policy import PolicyUnavailable, RefusedByPolicy

CODES: dict[type[Exception], str] = {
    InvalidRequest: "invalid_request",
    InvalidParameters: "invalid_parameters",
    InvalidSubject: "invalid_subject",
    InvalidCaptions: "invalid_captions",
    PriorMismatch: "prior_mismatch",
    InvalidPrior: "invalid_prior",
    TrainingDiverged: "training_diverged",
    CaptionerUnavailable: "captioner_unavailable",
    GpuOutOfMemory: "gpu_out_of_memory",
    SigningFailed: "signing_failed",
    NoSuchObject: "object_missing",
    ObjectDamaged: "object_damaged",
    StorageError: "storage_unavailable",
    RefusedByPolicy: "refused_by_policy",
    PolicyUnavailable: "policy_unavailable",
    OverTime: "over_time",
}
"""The error code of a failed job for each exception; a subclass precedes its base class."""

STUCK = "stuck"
"""The error code of a job whose engine reported nothing for `stuck_seconds`."""
