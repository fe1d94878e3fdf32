"""The error codes of failed jobs. docs/problems.md explains each."""

import errno
import os

from safetensors import SafetensorError

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

INTERNAL = "internal_error"
"""The error code of a job that failed by an error of the service."""

DISK_FULL = "worker_disk_full"
"""The error code of a job whose worker has no space left on its disk."""
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


def code_of(error: Exception) -> str | None:
    """The code of the error; None if it is an unexpected one."""
    if _is_full_disk(error):
        return DISK_FULL
    return next((code for kind, code in CODES.items() if isinstance(error, kind)), None)


def _is_full_disk(error: Exception) -> bool:
    """Whether the error says that a disk is full. That of safetensors has the system's words and no number."""
    if isinstance(error, SafetensorError):
        return any(os.strerror(number) in str(error) for number in NO_SPACE)
    return isinstance(error, OSError) and error.errno in NO_SPACE
