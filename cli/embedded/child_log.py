"""The log of a child process: its output as JSON lines, in a file whose size has a bound.

`lipe up` reads the output of its children from pipes. So the lines of servers with other formats get the format of
`ledger.logs`, and no line is lost when the file is rotated.
"""

import json
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from cli.log_line import as_text

MAX_BYTES = 10_000_000
"""The size at which the file becomes `log.1`, in place of an older one. A log has at most twice this size."""
MAX_LINE_BYTES = 65_536
QUOTED_LINES = 15
END_SECONDS = 5.0

Parse = Callable[[str], dict[str, Any] | None]
"""Converts a line of a program into fields (`level`, `event`, perhaps `timestamp`). None: it has another format."""


def parse_json(line: str) -> dict[str, Any] | None:
    """The fields of a line in our own format."""
    with suppress(ValueError):
        fields = json.loads(line)
        if isinstance(fields, dict) and "event" in fields:
            return fields
    return None


class ChildLog:
    """The log of one run of a child. `quote` has the end of this run's lines only."""

    def __init__(self, file: Path, parse: Parse = parse_json) -> None:
        self._file = file
        self._parse = parse
        self._last: deque[dict[str, Any]] = deque(maxlen=QUOTED_LINES)
        self._thread: threading.Thread | None = None

    def read(self, output: IO[bytes]) -> None:
        """Write the lines of a pipe to the file, in a thread, until the pipe is closed."""
        self._thread = threading.Thread(target=self._copy, args=(output,), name=f"log {self._file}", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait until all lines of a child that has ended are written."""
        if self._thread:
            self._thread.join(END_SECONDS)  # a process that left the child's session may hold the pipe

    def quote(self) -> str:
        """The last lines of this run, for a person."""
        return "\n".join(as_text(fields) for fields in list(self._last))

    def _copy(self, output: IO[bytes]) -> None:
        with output:
            for line in iter(lambda: output.readline(MAX_LINE_BYTES), b""):
                with suppress(OSError):  # with a full disk, the child must still be able to write to the pipe
                    self._write(line.decode(errors="replace").rstrip("\r\n").rpartition("\r")[2])

    def _write(self, line: str) -> None:
        if not line.strip():
            return
        fields = self._parse(line) or {"level": "info", "event": line}
        fields = {"timestamp": _now(), "level": "info", "logger": self._file.parent.name, **fields}
        self._last.append(fields)
        if self._file.exists() and self._file.stat().st_size > MAX_BYTES:
            self._file.replace(self._file.with_name(f"{self._file.name}.1"))
        with self._file.open("a") as file:
            file.write(f"{json.dumps(fields, ensure_ascii=False)}\n")


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
