"""The checkout, for the programs that tests start: they run its code, also where it is not installed."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON_PATH = os.pathsep.join(str(folder) for folder in (ROOT, ROOT / "clients" / "python"))
"""The value of PYTHONPATH."""
