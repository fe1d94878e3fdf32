"""Workers: the processes that run jobs. They belong to no project, so only a key of the operator sees them."""

from typing import Any

from fastapi import APIRouter

from api.auth import CallerDep
from api.fields import Moment, ResponseModel
from api.pagination import Listing
from api.service import ServiceDep
from ledger import workers
from ledger.states import JobKind
from ledger.workers import WorkerState

router = APIRouter(prefix="/workers", tags=["workers"])


class WorkerBody(ResponseModel):
    """A worker process."""

    name: str
    """Name of the process: host name and process id. The metrics of a job have it as `worker`."""

    host: str
    """Name of its machine or container; empty for a worker of an older release."""

    version: str
    """Version of LIPE that it runs; empty for a worker of an older release."""

    gpu: str | None
    """Name of its GPU; null for a worker on the CPU."""

    gpu_memory_bytes: int | None
    """Memory of the GPU in bytes; null for a worker on the CPU."""

    kinds: list[JobKind]
    """Kinds of jobs that it takes. Workers of the same kinds are one pool."""

    base_model: str | None
    """Name of the base model that it has loaded."""

    fingerprint: str | None
    """Fingerprint of that base model. Jobs of another base model wait for other workers."""

    adapters: list[str]
    """SHA-256 of the adapters in its memory, the one used last at the end. An edit prefers a worker that holds its
    prior."""

    state: WorkerState
    """`idle` waits for a job, `busy` runs one, `draining` ends after its job, and `lost` has not reported for
    45 seconds. A lost worker is listed for ten minutes."""

    job_id: str | None
    """Id of the job that it runs; null without one."""

    seen_at: Moment
    """Time of its last report, in UTC. A live worker reports every 15 seconds."""


@router.get("", operation_id="list_workers", response_model=Listing[WorkerBody])
def list_workers(service: ServiceDep, caller: CallerDep) -> Any:
    """All workers of the service, by name, on one page. `lipe keys create --scope operator` makes a key for it."""
    with service.begin() as session:
        return {"data": workers.listing(session), "has_more": False, "next_cursor": None}
