"""The prior of an edit job, with the second one of its mix."""

import json
from functools import partial
from pathlib import Path

from ledger.models import Edit as EditRow
from ledger.models import Prior as PriorRow
from lipe_core.adapters import prior
from lipe_core.adapters.mixing import mixed
from lipe_core.adapters.prior import Prior
from lipe_core.errors import InvalidPrior, InvalidRequest
from worker.attempt import Attempt
from worker.context import WorkerContext


def load_prior(
    context: WorkerContext, attempt: Attempt, edit: EditRow, first: PriorRow | None, mix: PriorRow | None
) -> Prior | None:
    """The edit's prior, with the second one of its mix. Raises InvalidPrior, InvalidRequest and StorageError."""
    if first is None:
        return None
    loaded = _load(context, attempt, first)
    if edit.mix_weight is None:
        return loaded
    if mix is None:
        raise InvalidRequest("the prior of the edit's mix was deleted: request a new edit")
    return mixed(loaded, _load(context, attempt, mix), edit.mix_weight)


def _load(context: WorkerContext, attempt: Attempt, row: PriorRow) -> Prior:
    key, sha256 = row.adapter_key, row.adapter_sha256
    if key is None or sha256 is None:
        raise InvalidPrior(f"the prior {row.id} is not learned yet")

    def fetch(folder: Path) -> None:
        content = attempt.retry_storage(partial(context.input, key, sha256))
        (folder / prior.ADAPTER).write_bytes(content)
        (folder / prior.MANIFEST).write_text(json.dumps(row.manifest))

    return context.gpu.prior(sha256, fetch)
