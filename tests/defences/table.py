"""The table of docs/attacks.md."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| (\d+) \| .* \| `([\w/.]+::\w+)` \|$", re.MULTILINE)


def attacks() -> dict[int, str]:
    """The test of each attack, as `file::function`, by the attack's number."""
    return {int(number): test for number, test in ROW.findall((ROOT / "docs/attacks.md").read_text())}
