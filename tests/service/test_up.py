"""`lipe up` starts the whole service, which works through its API; afterwards no process is left."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from PIL import Image

from cli.embedded.up import embedded_service
from ledger.webhooks import EVENT_TYPES
from lipe_client import Client, verify_webhook
from tests.support.receiver import receiving
from tests.support.waiting import PATIENCE_SECONDS, eventually


@pytest.mark.enable_socket  # it connects to this machine's own address, as other machines do
@pytest.mark.slow
def test_from_references_to_an_edited_image(checkpoint: Path, tmp_path: Path) -> None:
    environment = {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "LIPE_ALLOW_PRIVATE_URLS": "true"}
    with (
        receiving(200) as receiver,
        embedded_service(tmp_path / "data", host="0.0.0.0", base_model=checkpoint, environment=environment) as service,
        Client(service.public_url, service.key.token) as lipe,
    ):
        endpoint = lipe.create_webhook_endpoint(receiver.url, EVENT_TYPES)
        references = [lipe.upload_image(image(shade)) for shade in (10, 90, 170)]
        rex = lipe.create_subject(name="Rex", class_noun="dog", token="sks", references=references)
        learning = lipe.train_prior(rex, parameters={"steps": 4, "rank": 2}, regularization={"count": 2, "steps": 2})
        assert lipe.wait(learning).status == "succeeded"
        editing = lipe.edit(
            subject=rex,
            image=lipe.upload_image_presigned(image(0)),
            prompts=["a photo of sks dog jumping", "a photo of sks dog sitting"],
            parameters={"steps": 2},
        )
        assert lipe.wait(editing).status == "succeeded"
        (model,) = lipe.models()
        assert (model.kinds, model.workers, model.miniature) == (("captions", "edit", "mask", "prior"), 2, False)
        results = lipe.results(editing)
        assert all(result.image.url.startswith(f"{service.public_url}/files/") for result in results)
        files = [lipe.download(result.image, tmp_path / f"{number}.png") for number, result in enumerate(results)]
        assert [Image.open(io.BytesIO(file.read_bytes())).size for file in files] == [(64, 64), (64, 64)]
        eventually(lambda: len(receiver.seen) == 6)  # an erasure deletes pending deliveries, too
        (succeeded,) = [data for data in (json.loads(body)["data"] for _, body in receiver.seen) if "results" in data]
        for number, result in enumerate(succeeded["results"]):
            linked = lipe.download(result["image"]["url"], tmp_path / "linked.png")
            assert linked.read_bytes() == files[number].read_bytes()
        lipe.delete_subject(rex)
        assert service.failure() is None
        programs = [psutil.Process(program.child.pid) for program in service.programs.values() if program.child]
        valkey = json.loads((tmp_path / "data" / "valkey" / "process.json").read_text())["pid"]
        os.kill(valkey, signal.SIGKILL)
        eventually(lambda: "valkey ended" in (service.failure() or ""))
        objects = [file.name for file in (tmp_path / "data" / "s3" / "objects").rglob("*") if file.is_file()]
    assert sorted(verified(endpoint.secrets[0], *sent) for sent in receiver.seen) == [
        "edit.output", "edit.output", "edit.started", "edit.succeeded", "prior.started", "prior.succeeded",
    ]  # fmt: skip
    assert len(objects) == 1  # the source image; no object of the erased subject remains
    assert not any(program.is_running() for program in programs)
    assert [process for process in psutil.process_iter() if belongs(process, tmp_path)] == []


def test_its_printed_key_and_settings_give_access_and_ctrl_c_stops_it(checkpoint: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "cli.main",
        "up",
        "--data",
        str(tmp_path / "data"),
        "--port",
        "0",
        "--workers",
        "one",
    ]
    environment = {**os.environ, "COLUMNS": "60", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    with subprocess.Popen(
        [*command, "--base-model", str(checkpoint)],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as up:
        assert up.stderr is not None
        printed = {}
        for line in up.stderr:
            if line.startswith("Ctrl-C"):
                break
            label, _, value = line.partition(": " if line.startswith("API key") else " at ")
            printed[label] = value.split()[:1]
        try:
            (url,), (key,) = printed["LIPE is"], printed["API key"]
            with Client(url, key) as lipe:
                assert lipe.upload_image(image(0)).width == 64
            settings = tmp_path / "data" / "settings.sh"
            assert settings.stat().st_mode & 0o777 == 0o600
            commands = (
                f". {settings}; {sys.executable} -m cli.main keys list; {sys.executable} -m cli.main audit --json"
            )
            result = subprocess.run(["sh", "-c", commands], env=environment, capture_output=True, text=True, check=True)
            assert "lipe up" in result.stdout
            assert result.stdout.endswith('{\n  "violations": []\n}\n')
            assert key in settings.read_text()
            folders = {folder.name for folder in (tmp_path / "data").iterdir()}
            assert folders & {"worker", "prior-worker", "edit-worker"} == {"worker"}
        finally:
            up.send_signal(signal.SIGINT)
        assert up.wait(timeout=PATIENCE_SECONDS) == 0
    assert not settings.exists()
    assert (tmp_path / "data" / "api-key").read_text() == f"{key}\n"  # the next start finds it
    assert [process for process in psutil.process_iter() if belongs(process, tmp_path)] == []


def image(shade: int) -> bytes:
    content = io.BytesIO()
    shades = Image.linear_gradient("L").resize((64, 64)).point(lambda level: (level + shade) % 256)
    shades.convert("RGB").save(content, "PNG")
    return content.getvalue()


def verified(secret: str, headers: dict[str, str], body: bytes) -> str:
    return verify_webhook(secret, {name.lower(): value for name, value in headers.items()}, body)["type"]


def belongs(process: psutil.Process, folder: Path) -> bool:
    try:
        return str(folder) in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
