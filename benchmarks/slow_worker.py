"""The paced worker on a slow storage: ``python -m benchmarks.slow_worker edits``.

Each object takes READ_SECONDS until its first byte, and an edit takes EDIT_STEPS steps.
"""

import sys
import time
from typing import Any

from benchmarks import paced_worker
from ledger import storage
from ledger.object_stream import ObjectStream, open_object
from worker.app import serve

READ_SECONDS = 0.3
EDIT_STEPS = 50


def install() -> None:
    """Replace the models and slow the storage down in this process."""
    paced_worker.install()
    paced_worker.EDIT_STEPS = EDIT_STEPS
    storage_module: Any = storage
    storage_module.open_object = open_slowly


def open_slowly(*request: Any) -> ObjectStream:
    """Open an object after a while."""
    time.sleep(READ_SECONDS)
    return open_object(*request)


if __name__ == "__main__":
    install()
    serve(sys.argv[1:])
