"""The data folder of `lipe up`, seen by other commands: which programs it has, whether they run, and their logs."""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cli.embedded.process import start_time

LOG = "log"


@dataclass(frozen=True)
class FolderProgram:
    """A program that `lipe up` has run in the folder. `since`: when its process started, if it runs."""

    name: str
    logs: tuple[Path, ...]
    """The log files, oldest first."""
    since: datetime | None

    @property
    def is_running(self) -> bool:
        """Whether its process runs."""
        return self.since is not None


def programs(data: Path) -> list[FolderProgram]:
    """The servers and programs of the folder, by name. Raises OSError if it cannot be read."""
    return [_program(log.parent) for log in sorted(data.glob(f"*/{LOG}"))]


def disk_usage(data: Path) -> tuple[int, int]:
    """Bytes of the folder's files, and bytes that are free on its disk."""
    used = 0
    for file in data.rglob("*"):
        try:
            status = file.lstat()
        except OSError:  # it was deleted meanwhile
            continue
        used += status.st_blocks * 512
    return used, shutil.disk_usage(data).free


def _program(folder: Path) -> FolderProgram:
    logs = [file for file in (folder / f"{LOG}.1", folder / LOG) if file.exists()]
    started = start_time(folder)
    return FolderProgram(folder.name, tuple(logs), datetime.fromtimestamp(started, UTC) if started else None)
