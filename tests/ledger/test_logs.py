"""Every program writes one JSON line for each event, also for warnings and uncaught errors."""

import json
import os
import subprocess
import sys
from pathlib import Path

CODE = """
import logging, threading, warnings
from structlog.contextvars import bound_contextvars
from ledger import logs
foreign = logging.getLogger("transformers")
foreign.addHandler(logging.StreamHandler())
logs.configure()
logs.configure()
logs.adopt("transformers")
with bound_contextvars(request_id="req_1"):
    logging.getLogger("api.request").info("GET %s", "/v1/jobs")
logging.getLogger("botocore").info("not shown")
foreign.warning("two\\nlines")
warnings.warn("a warning")
thread = threading.Thread(target=lambda: 1 / 0, name="mine")
thread.start()
thread.join()
raise ValueError("the end")
"""


def test_every_event_is_one_line_of_json() -> None:
    root = Path(__file__).parents[2]
    run = subprocess.run(
        [sys.executable, "-c", CODE],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [json.loads(line) for line in run.stderr.splitlines()]
    assert run.returncode == 1
    assert [(line["level"], line["logger"]) for line in lines] == [
        ("info", "api.request"),
        ("warning", "transformers"),
        ("warning", "py.warnings"),
        ("critical", "uncaught"),
        ("critical", "uncaught"),
    ]
    assert all(list(line)[:4] == ["timestamp", "level", "logger", "event"] for line in lines)
    assert (lines[0]["event"], lines[0]["request_id"]) == ("GET /v1/jobs", "req_1")
    assert lines[1]["event"] == "two\nlines"
    assert lines[3]["event"] == "the thread mine ends: division by zero"
    assert "ValueError: the end" in lines[4]["exception"]
