"""The mistakes that `lipe up` finds before it starts anything."""

import shutil
import socket
import sys
from pathlib import Path

import pytest

from cli.embedded.preflight import check_base_model, check_data_folder, concurrent_check, reserve_port
from cli.embedded.process import StartError
from lipe_core.checkpoint.weights import STEMS


def test_a_checkpoint_and_a_hub_id_are_accepted(checkpoint: Path) -> None:
    check_base_model(str(checkpoint))
    check_base_model("stabilityai/stable-diffusion-xl-base-1.0")


@pytest.mark.parametrize("name", ["/nope", "nope", "./models/nope", "models/sdxl/nope"])
def test_a_missing_base_model_is_refused(name: str) -> None:
    with pytest.raises(StartError, match=f"the base model {name} does not exist: set LIPE_BASE_MODEL"):
        check_base_model(name)


@pytest.mark.parametrize("missing", ["model_index.json", *STEMS])
def test_an_incomplete_checkpoint_is_refused(missing: str, checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(checkpoint, folder)
    for file in [folder / missing, *(folder / missing).glob("*.safetensors")]:
        if file.is_file():
            file.unlink()
    with pytest.raises(StartError, match=rf"has no .*{missing}.*: "):
        check_base_model(str(folder))


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import os, sys; print('a warning', file=sys.stderr); sys.exit(os.environ['REASON'])", "^no tensor$"),
        ("raise SystemExit(3)", "ended with status 3"),
    ],
)
def test_a_check_beside_the_block_is_refused_with_its_last_line(program: str, reason: str) -> None:
    command = [sys.executable, "-c", program]
    with concurrent_check(command, {"REASON": "no tensor"}) as wait, pytest.raises(StartError, match=reason):
        wait()


def test_a_check_that_succeeds_or_that_nothing_waits_for_raises_nothing() -> None:
    with concurrent_check([sys.executable, "-c", ""], {}) as wait:
        wait()
    with concurrent_check([sys.executable, "-c", "import time; time.sleep(600)"], {}):
        pass


def test_a_new_data_folder_is_created_and_left_empty(tmp_path: Path) -> None:
    check_data_folder(tmp_path / "new" / "data")
    assert list((tmp_path / "new" / "data").iterdir()) == []


def test_a_data_folder_that_cannot_be_created_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for data in (file, file / "data", Path("/proc/data")):
        with pytest.raises(StartError, match=rf"cannot write to {data} \(.*\): choose another folder with --data"):
            check_data_folder(data)


def test_a_folder_of_the_data_that_cannot_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "postgres").mkdir()

    def refuse(dir: Path) -> object:
        if dir.name == "postgres":
            raise PermissionError(13, "Permission denied")
        return (tmp_path / "file").open("w")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)  # the tests may run as root, who may write everywhere
    with pytest.raises(StartError, match=rf"cannot write to {tmp_path}/postgres \(Permission denied\)"):
        check_data_folder(tmp_path)


def test_a_reserved_port_is_refused_until_it_is_released() -> None:
    with reserve_port("127.0.0.1", 0) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(StartError, match=f"port {port} is in use .* --port"):
            reserve_port("127.0.0.1", port)
    reserve_port("127.0.0.1", port).close()


def test_a_port_of_all_addresses_is_in_use_on_each() -> None:
    with (
        socket.create_server(("0.0.0.0", 0)) as other,
        pytest.raises(StartError, match="is in use by another program"),
    ):
        reserve_port("127.0.0.1", other.getsockname()[1])


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(StartError, match=r"cannot listen on 192\.0\.2\.1:8000 .* --host"):
        reserve_port("192.0.2.1", 8000)
