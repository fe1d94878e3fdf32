"""Checks of `lipe up` before it starts anything. Each raises StartError with one sentence that says what to do."""

import errno
import os
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from cli.embedded.process import StartError
from lipe_core.checkpoint import layout
from lipe_core.errors import InvalidModel


def check_base_model(base_model: str, *, allow_distilled: bool = False) -> None:
    """Check a folder's files and configurations. A hub id is accepted: the worker checks it after the download."""
    try:
        layout.check_base_model(base_model, allow_distilled=allow_distilled)
    except InvalidModel as error:
        raise StartError(str(error)) from error


@contextmanager
def concurrent_check(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Callable[[], None]]:
    """Run a command that checks something, beside the block. The block calls the function to wait for the result.

    `environment` is added to this process's. The function raises StartError with the last line of the command's errors
    if the command fails.
    """
    with subprocess.Popen(  # noqa: S603
        command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as check:
        try:
            yield partial(_wait_for_check, check)
        finally:
            check.kill()


def _wait_for_check(check: subprocess.Popen[str]) -> None:
    _, errors = check.communicate()
    if check.returncode:
        lines = errors.strip().splitlines()  # the libraries warn in the lines before
        raise StartError(lines[-1] if lines else f"the check of the base model ended with status {check.returncode}")


def check_data_folder(data_dir: Path) -> None:
    """Create the folder if it is missing, and check that files can be written to it and to its folders."""
    folder = data_dir
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        for folder in (data_dir, *(child for child in data_dir.iterdir() if child.is_dir())):
            tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise StartError(f"cannot write to {folder} ({error.strerror}): choose another folder with --data") from error


def reserve_port(host: str, port: int) -> socket.socket:
    """A socket that holds the port until it is closed. Port 0 selects a free one."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        holder = socket.socket(family, kind, protocol)
        try:
            # As servers do: without it, the closed connections of an earlier run would hold the port.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(address)
            holder.listen(1)
        except OSError:
            holder.close()
            raise
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            advice = "choose another with --port; --port 0 selects a free one"
            raise StartError(f"port {port} is in use by another program or another LIPE: {advice}") from error
        raise StartError(f"cannot listen on {host}:{port} ({error.strerror}): change --host or --port") from error
    return holder
