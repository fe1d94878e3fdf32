"""Checks of `lipe up` before it starts anything. Each raises StartError with one sentence that says what to do."""

import errno
import socket
import tempfile
from pathlib import Path

from cli.base_model_files import find_faults
from cli.embedded.process import StartError

MODEL_ADVICE = "set LIPE_BASE_MODEL or --base-model to the folder or the hub id of an SDXL checkpoint"


def check_base_model(base_model: str) -> None:
    """Check that a folder has the files of an SDXL checkpoint. A hub id is accepted without a check."""
    for fault in find_faults(base_model):
        raise StartError(f"{fault}: {MODEL_ADVICE}")


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
