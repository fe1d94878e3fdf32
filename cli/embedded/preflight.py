"""Checks of `lipe up` before it starts anything. Each raises StartError with one sentence that says what to do."""

import errno
import re
import socket
import tempfile
from pathlib import Path

from cli.embedded.process import StartError

MODEL_ADVICE = "set LIPE_BASE_MODEL or --base-model to the folder or the hub id of an SDXL checkpoint"
WEIGHT_FOLDERS = ("text_encoder", "text_encoder_2", "unet", "vae")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def check_base_model(base_model: str) -> None:
    """Check that a folder has the files of an SDXL checkpoint. A hub id is accepted without a check."""
    folder = Path(base_model)
    if not folder.exists():
        if not HUB_ID.fullmatch(base_model):
            raise StartError(f"there is no base model {base_model}: {MODEL_ADVICE}")
        return
    if not (folder / "model_index.json").is_file():
        raise StartError(f"the base model {base_model} has no model_index.json: {MODEL_ADVICE}")
    for name in WEIGHT_FOLDERS:
        if not any((folder / name).glob("*.safetensors")):
            raise StartError(f"the base model {base_model} has no safetensors files in {name}: {MODEL_ADVICE}")


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
