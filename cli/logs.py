"""`lipe logs`: the logs of a `lipe up`, of all its programs in the order of time, or of one."""

import json
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from cli.embedded.data_folder import FolderProgram, programs
from cli.log_line import as_text
from cli.settings_file import DEFAULT_DATA

FOLLOW_SECONDS = 0.3
STYLES = {"warning": "yellow", "error": "red", "critical": "bold red"}
LogLine = dict[str, Any]


def logs(
    program: Annotated[
        str | None, typer.Argument(help="One of api, dispatcher, edit-worker, postgres and so on. Default: all.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="The number of old lines.", min=0)] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print the lines as they are stored, for scripts.")] = False,
    data: Annotated[
        Path, typer.Option("--data", help="The data folder of `lipe up`, which may have stopped.", file_okay=False)
    ] = DEFAULT_DATA,
) -> None:
    """Print the last lines of the logs of a `lipe up`, in the order of time. Times are in UTC."""
    console = Console(soft_wrap=True, highlight=False)
    with ExitStack() as opened, suppress(KeyboardInterrupt):
        readers = [opened.enter_context(closing(LogReader(each))) for each in find_programs(data, program)]
        old = in_order([reader.last(lines) for reader in readers])
        show(console, old[max(0, len(old) - lines) :], as_json=as_json)
        while follow:
            time.sleep(FOLLOW_SECONDS)
            show(console, in_order([list(reader.new()) for reader in readers]), as_json=as_json)


def find_programs(data: Path, name: str | None) -> list[FolderProgram]:
    """The programs with logs in the folder, or the one with that name. Raises typer.BadParameter if there is none."""
    found = programs(data)
    if not found:
        raise typer.BadParameter(f"there are no logs in {data}: name the data folder of a `lipe up` with --data")
    chosen = [program for program in found if name in (None, program.name)]
    if not chosen:
        names = ", ".join(program.name for program in found)
        raise typer.BadParameter(f"{data} has no log of {name}: choose from {names}")
    return chosen


class LogReader:
    """Reads the log of one program, also over its rotation."""

    def __init__(self, program: FolderProgram) -> None:
        self._name = program.name
        self._older, self._file = program.logs[:-1], program.logs[-1]
        self._stream = self._file.open(errors="replace")

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def last(self, count: int) -> list[LogLine]:
        """The last lines up to now."""
        texts: deque[str] = deque(maxlen=count)
        for file in self._older:
            texts.extend(file.read_text(errors="replace").splitlines())
        texts.extend(self._rest())
        return [self._parse(text) for text in texts]

    def new(self) -> Iterator[LogLine]:
        """The lines since the last call."""
        for text in self._rest():
            yield self._parse(text)
        if self._file.exists() and self._file.stat().st_ino != os.fstat(self._stream.fileno()).st_ino:
            self._stream.close()
            self._stream = self._file.open(errors="replace")
            for text in self._rest():
                yield self._parse(text)

    def _rest(self) -> Iterator[str]:
        """The complete lines that follow in the file."""
        while True:
            start = self._stream.tell()
            line = self._stream.readline()
            if not line.endswith("\n"):
                self._stream.seek(start)
                return
            yield line

    def _parse(self, text: str) -> LogLine:
        try:
            fields = json.loads(text)
        except ValueError:
            fields = {"event": text.rstrip()}
        return {"program": self._name, **fields}


def in_order(parts: Sequence[Sequence[LogLine]]) -> list[LogLine]:
    """The lines of several logs, sorted by time."""
    return sorted((line for part in parts for line in part), key=lambda line: str(line.get("timestamp", ""))[:23])


def show(console: Console, lines: Sequence[LogLine], *, as_json: bool) -> None:
    """Print the lines: for a person with the program first, or as JSON."""
    for line in lines:
        if as_json:
            print(json.dumps(line, ensure_ascii=False), flush=True)
            continue
        fields = {name: value for name, value in line.items() if name != "program"}
        text = f"{line['program']:<14} {as_text(fields)}"
        console.print(Text(text, style=STYLES.get(str(line.get("level")), "")))
