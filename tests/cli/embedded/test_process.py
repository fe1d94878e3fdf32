"""Child processes: one owner a folder, free ports, logs of failed starts, reused process ids."""

import json
import os
import socket
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from cli.embedded import valkey
from cli.embedded.process import Exited, FolderInUse, on_free_port, running, secret, stop_orphan
from tests.support.waiting import eventually


def test_a_data_directory_has_one_owner(tmp_path: Path) -> None:
    with valkey.serve(tmp_path), pytest.raises(FolderInUse), valkey.serve(tmp_path):
        pass


def test_a_server_whose_port_is_taken_starts_on_another(tmp_path: Path) -> None:
    bind = "import socket, sys; s = socket.socket(); s.bind(('127.0.0.1', int(sys.argv[1]))); s.listen(); s.accept()"
    tried: list[int] = []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        def start(port: int):
            tried.append(port)
            first = taken.getsockname()[1] if len(tried) == 1 else port
            return running([sys.executable, "-c", bind, str(first)], tmp_path, is_ready=lambda: _bound(first, taken))

        with on_free_port(start) as port:
            assert len(tried) == 2
            assert port == tried[1]


def test_a_server_that_cannot_start_shows_its_log(tmp_path: Path) -> None:
    with (
        pytest.raises(Exited, match="no such luck"),
        running([sys.executable, "-c", "exit('no such luck')"], tmp_path, is_ready=lambda: False),
    ):
        pass


def test_the_process_of_a_crashed_owner_is_stopped(tmp_path: Path) -> None:
    stop_orphan(tmp_path)  # there is none
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    try:
        started = psutil.Process(child.pid).create_time()
        (tmp_path / "process.json").write_text(json.dumps({"pid": child.pid, "started": started}))
        stop_orphan(tmp_path)
        eventually(lambda: child.poll() is not None)
    finally:
        child.kill()
        child.wait()


def test_the_process_of_a_running_owner_is_not_stopped(tmp_path: Path) -> None:
    with valkey.serve(tmp_path), pytest.raises(FolderInUse, match="stop that one first"):
        stop_orphan(tmp_path)


def test_a_reused_process_id_is_not_signalled(tmp_path: Path) -> None:
    (tmp_path / "process.json").write_text(f'{{"pid": {os.getpid()}, "started": 1.0}}')
    with valkey.serve(tmp_path):
        pass  # a SIGTERM would have ended this test run


def _bound(port: int, taken: socket.socket) -> bool:
    if port == taken.getsockname()[1]:
        return False
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def test_an_empty_secret_is_repaired_and_every_process_reads_the_same(tmp_path: Path) -> None:
    """A crash can leave an empty file behind."""
    (tmp_path / "secret").touch(mode=0o600)
    with ThreadPoolExecutor(8) as pool:
        (password,) = set(pool.map(secret, [tmp_path] * 32))
    assert len(password) >= 32
    assert (tmp_path / "secret").read_text() == password


def test_other_users_can_enter_no_folder_and_read_no_file(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    write = "from pathlib import Path; Path('made').mkdir(); Path('made/file').write_text('private')"
    secret(folder)
    previous = os.umask(0o022)
    try:
        with running([sys.executable, "-c", f"{write}; input()"], folder, is_ready=(folder / "made/file").exists):
            pass
    except Exited:
        pass
    finally:
        os.umask(previous)
    made = [folder, folder / "made", folder / "made/file", folder / "secret"]
    assert [stat.S_IMODE(path.stat().st_mode) & 0o077 for path in made] == [0] * 4
