"""What a picture may cost to unpack: beyond it the process ends, and the next picture is taken as ever."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from api.decoder import Decoder
from api.problems import Problem

BOUNDS = {"max_bytes": 32 << 20, "min_side": 64}
SCAN, END = b"\xff\xda", b"\xff\xd9"


def picture(side: int, **options: object) -> bytes:
    file = BytesIO()
    Image.new("RGB", (side, side), "teal").save(file, "JPEG", **options)
    return file.getvalue()


def passes(count: int) -> bytes:
    """A small file whose last pass over a large picture comes again and again."""
    whole = picture(3000, progressive=True).removesuffix(END)
    return whole + whole[whole.rindex(SCAN) :] * count + END


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    made = Decoder(seconds=2.0)
    yield made
    made.close()


def test_a_picture_that_takes_too_long_is_refused_and_the_next_one_taken(decoder: Decoder) -> None:
    bomb = passes(3000)
    assert len(bomb) < 200_000
    with pytest.raises(Problem, match="more than 2 seconds") as refused:
        decoder(bomb, **BOUNDS)
    assert refused.value.code == "image_too_complex"
    assert decoder(picture(64), **BOUNDS).width == 64


def test_a_picture_that_takes_too_much_memory_is_refused_and_the_next_one_taken() -> None:
    decoder = Decoder(memory=512 << 20)
    try:
        with pytest.raises(Problem, match="or 512 MiB") as refused:
            decoder(picture(7000), **BOUNDS)
        assert refused.value.code == "image_too_complex"
        assert decoder(picture(64), **BOUNDS).width == 64
    finally:
        decoder.close()


def test_the_largest_picture_fits() -> None:
    decoder = Decoder()
    try:
        file = BytesIO()
        Image.new("RGBA", (7070, 7070), (10, 200, 90, 128)).save(file, "PNG", compress_level=1)
        assert decoder(file.getvalue(), **BOUNDS).width == 7070
    finally:
        decoder.close()


def test_other_refusals_keep_their_codes(decoder: Decoder) -> None:
    for content, code in ((picture(32), "image_sides_out_of_range"), (b"<html>", "image_format_unsupported")):
        with pytest.raises(Problem) as refused:
            decoder(content, **BOUNDS)
        assert refused.value.code == code


def test_the_api_refuses_it_too(api: TestClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.state.service.decoder, "seconds", 2.0)
    answer = api.post("/v1/images", content=passes(3000))
    assert (answer.status_code, answer.json()["code"]) == (422, "image_too_complex")
    assert api.get("/v1/images").json()["data"] == []
    assert api.post("/v1/images", content=picture(64)).status_code == 201


def test_no_decoder_outlives_an_api_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "bomb.jpg").write_bytes(passes(30_000))
    program = f"""
import multiprocessing, pathlib
from threading import Timer
from api.decoder import Decoder
if __name__ == "__main__":
    Timer(2.0, lambda: print(*(child.pid for child in multiprocessing.active_children()), flush=True)).start()
    Decoder(seconds=60)(pathlib.Path("{tmp_path}/bomb.jpg").read_bytes(), max_bytes=1 << 30, min_side=64)
"""
    (tmp_path / "program.py").write_text(program)
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    command = [sys.executable, tmp_path / "program.py"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as api:
        assert api.stdout is not None
        decoders = [int(pid) for pid in api.stdout.readline().split()]
        assert decoders
        while max(map(busy_seconds, decoders)) < 3:  # none of them still begins
            time.sleep(0.1)
        api.kill()
    deadline = time.monotonic() + 10
    while any(map(alive, decoders)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(alive, decoders))


def busy_seconds(pid: int) -> float:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11]) / os.sysconf("SC_CLK_TCK")


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
