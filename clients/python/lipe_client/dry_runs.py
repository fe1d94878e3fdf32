"""The dry run of a request for a job: the same body, sent to the path that checks and prices it."""

from lipe_client.call import Call
from lipe_client.models import DryRun, Job


def dry_run_of(request: Call[Job]) -> Call[DryRun]:
    """The call that checks and prices the job of `request` and creates nothing."""
    body = {"json": request.options["json"]}
    return Call(request.method, f"{request.path}/dry-run", DryRun.model_validate_json, body)
