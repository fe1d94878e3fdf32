"""`lipe worker` with the deterministic engine of tests/reliability: ``python -m benchmarks.paced_worker edits``."""

import sys

from tests.reliability import engine
from worker.app import serve

if __name__ == "__main__":
    engine.install()
    serve(sys.argv[1:])
