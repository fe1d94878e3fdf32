"""The libraries of every decoding process, which the server of these processes loads once for all of them.

Import it nowhere else: it limits the threads of the whole process.
"""

import os

for _library in ("OMP", "OPENBLAS"):  # each thread would reserve address space of its own, and none outlives a fork
    os.environ[f"{_library}_NUM_THREADS"] = "1"

import api.decoder  # noqa: E402, F401
from api.faces import detector  # noqa: E402

detector()
