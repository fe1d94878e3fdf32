"""A service that the blocks of the documents talk to, started by the README's own command on a tiny base model."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from lipe_client import Client
from tests.support.checkout import PYTHON_PATH
from tests.support.documents import ROOT, Block, blocks_of

START = ".venv/bin/lipe up --data ./data"
DOCUMENTED_URL = "http://127.0.0.1:8000"
SECONDS = 120  # for one block
RECIPE = {
    "prior": {"steps": 2, "rank": 2, "batch_size": 1, "preservation_batch_size": 1},
    "regularization": {"count": 2, "steps": 2},
    "nima": {"steps": 2},
}
"""Settings of the tiny base model, so that trainings and edits take seconds."""


@dataclass(frozen=True)
class DocumentedService:
    """A running service, and the folder in which the blocks of the documents run."""

    url: str
    folder: Path
    environment: Mapping[str, str]
    done: set[str] = field(default_factory=set)
    """Shell commands that were run: one that several documents contain runs once."""

    def run(self, document: Path) -> None:
        """Run all blocks of a document that need nothing special, in order. Python blocks share their variables."""
        names: dict[str, Any] = {"__name__": "__main__"}
        with chdir(self.folder), patch.dict(os.environ, self.environment):
            for block in blocks_of(document):
                if block.is_run and block.text.strip() != START:
                    self._run(document, block, names)
        for value in names.values():
            if isinstance(value, Client):
                value.close()

    def _run(self, document: Path, block: Block, names: dict[str, Any]) -> None:
        place = f"{document.relative_to(ROOT)}:{block.line}"
        text = block.text.replace(DOCUMENTED_URL, self.url)
        if block.language == "sh":
            if text in self.done:
                return
            self.done.add(text)
            done = subprocess.run(
                ["sh", "-e", "-c", text], capture_output=True, text=True, timeout=SECONDS, check=False
            )
            assert done.returncode == 0, f"{place}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
            return
        try:
            exec(compile(text, place, "exec"), names)
        except Exception as error:
            error.add_note(place)
            raise


@contextmanager
def documented_service(model: Path, folder: Path) -> Iterator[DocumentedService]:
    """Start the service in `folder` with the README's command, on a free port; stop it at the end.

    `model` is the folder of a tiny base model, which gets a recipe.
    """
    (model / "lipe.json").write_text(json.dumps(RECIPE))
    _write_commands(folder / ".venv" / "bin")
    (folder / "menagerie").symlink_to(ROOT / "menagerie")
    environment = {**os.environ, "PYTHONPATH": PYTHON_PATH, "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    command = [*START.split(), "--port", "0", "--base-model", str(model), "--json"]
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as up:
        try:
            ready = up.stdout.readline() if up.stdout else ""
            assert ready, "the service did not start: its output is above"
            yield DocumentedService(json.loads(ready)["url"], folder, environment | _settings(folder / "data"))
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(SECONDS)


def _write_commands(folder: Path) -> None:
    """The programs of an installation, in the place where the documents call them."""
    folder.mkdir(parents=True)
    for name, arguments in {"python": "", "lipe": " -m cli.main"}.items():
        (folder / name).write_text(f'#!/bin/sh\nexec {sys.executable}{arguments} "$@"\n')
        (folder / name).chmod(0o755)


def _settings(data: Path) -> dict[str, str]:
    """The variables that `. data/settings.sh` exports."""
    printed = subprocess.run(
        ["sh", "-c", f". {data}/settings.sh; env"], env={}, capture_output=True, text=True, check=True
    )
    return dict(re.findall(r"^(LIPE_\w+)=(.*)$", printed.stdout, re.MULTILINE))
