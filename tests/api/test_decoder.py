"""Limits of decoding: beyond them the process ends, and the next image is decoded as before."""

import errno
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from io import BytesIO
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from api import faces
from api.decoder import Decoder
from api.problems import Problem
from tests.api.test_image_sanitizer import HALVES, encoded
from tests.support.waiting import eventually

BOUNDS: dict[str, Any] = {"max_bytes": 32 << 20, "min_side": 64}
SCAN, END = b"\xff\xda", b"\xff\xd9"
AMPLE_SECONDS = 600.0  # more than a loaded machine needs; no test waits for it


def jpeg(side: int, **options: object) -> bytes:
    file = BytesIO()
    Image.new("RGB", (side, side), "teal").save(file, "JPEG", **options)
    return file.getvalue()


def slow_jpeg(passes: int) -> bytes:
    """A small file that repeats the last pass over a large image; 3000 passes take minutes."""
    whole = jpeg(3000, progressive=True).removesuffix(END)
    return whole + whole[whole.rindex(SCAN) :] * passes + END


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    """A decoder without a practical limit of time."""
    decoder = Decoder(seconds=AMPLE_SECONDS)
    yield decoder
    decoder.close()


def test_an_image_that_takes_too_long_is_refused_and_the_next_one_accepted(decoder: Decoder) -> None:
    bomb = slow_jpeg(3000)
    assert len(bomb) < 200_000
    decoder.seconds = 2.0
    with pytest.raises(Problem, match="more than 2 seconds") as refused:
        decoder(bomb, **BOUNDS)
    assert refused.value.code == "image_too_complex"
    decoder.seconds = AMPLE_SECONDS
    assert decoder(jpeg(64), **BOUNDS).width == 64


def test_a_process_ends_in_the_middle_of_native_code(decoder: Decoder) -> None:
    """The pool waits for its end before it gives an image to any process."""
    others = {child.pid for child in active_children()}
    with ThreadPoolExecutor(1) as pool, closing(decoder):
        pool.submit(decoder._run, sum, range(10**15))  # returns to the interpreter after weeks
        eventually(lambda: any(task.running() for task in decoder._tasks))
        running = {child.pid: child for child in active_children() if child.pid not in others}
        for child in running.values():
            child.terminate()
        eventually(lambda: not running.keys() & {child.pid for child in active_children()})


def test_the_next_image_is_decoded_after_all_processes_were_killed(decoder: Decoder) -> None:
    others = {child.pid for child in active_children()}
    assert decoder(jpeg(64), **BOUNDS).width == 64
    for child in active_children():
        if child.pid not in others:
            child.kill()
    eventually(lambda: not decoder._pool.active)
    assert decoder(jpeg(64), **BOUNDS).width == 64


def has_the_libraries() -> bool:
    return faces.detector.cache_info().currsize == 1 and os.environ["OPENBLAS_NUM_THREADS"] == "1"


def test_a_new_process_has_the_libraries_already(decoder: Decoder) -> None:
    assert decoder._run(has_the_libraries)


def test_an_image_that_takes_too_much_memory_is_refused_and_the_next_one_accepted() -> None:
    decoder = Decoder(seconds=AMPLE_SECONDS, memory=512 << 20)
    try:
        with pytest.raises(Problem, match="or 512 MiB") as refused:
            decoder(jpeg(7000), **BOUNDS)
        assert refused.value.code == "image_too_complex"
        assert decoder(jpeg(64), **BOUNDS).width == 64
    finally:
        decoder.close()


def test_the_largest_image_fits_into_the_memory(decoder: Decoder) -> None:
    file = BytesIO()
    Image.new("RGBA", (7070, 7070), (10, 200, 90, 128)).save(file, "PNG", compress_level=1)
    assert decoder(file.getvalue(), **BOUNDS).width == 7070


def test_a_damaged_jpeg_that_ends_the_process_becomes_a_png(decoder: Decoder) -> None:
    """Its coefficients are out of the range that libjpeg writes, and libjpeg ends the process at that."""
    damaged = bytearray(encoded(Image.fromarray(HALVES), "JPEG"))
    damaged[234] = 254
    alone = f"from api.image_sanitizer import *; sanitize_image({bytes(damaged)!r}, max_bytes=10_000, min_side=64)"
    assert subprocess.run([sys.executable, "-c", alone], capture_output=True).returncode == 1
    image = decoder(bytes(damaged), **BOUNDS)
    assert (image.width, image.content_type) == (120, "image/png")


def leave(way: str) -> str:
    """Try to leave the decoding process, and return the error."""
    try:
        if way == "connect":
            socket.create_connection(("127.0.0.1", 9), timeout=5)
        elif way == "local":
            socket.socket(socket.AF_UNIX)
        else:
            os.execv("/bin/true", ["true"])
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "left"


@pytest.mark.parametrize("way", ["connect", "local", "run a program"])
def test_a_decoding_process_has_no_way_out(decoder: Decoder, way: str) -> None:
    """A decoder with a fault that runs an attacker's code reaches no network. Decoding still works."""
    assert decoder._run(leave, way) == "EPERM"
    assert decoder(jpeg(64), **BOUNDS).width == 64


def test_other_refusals_keep_their_codes(decoder: Decoder) -> None:
    for content, code in ((jpeg(32), "image_sides_out_of_range"), (b"<html>", "image_format_unsupported")):
        with pytest.raises(Problem) as refused:
            decoder(content, **BOUNDS)
        assert refused.value.code == code


def test_the_api_refuses_it_too(api: TestClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.state.service.decoder, "seconds", 2.0)
    answer = api.post("/v1/images", content=slow_jpeg(3000))
    assert (answer.status_code, answer.json()["code"]) == (422, "image_too_complex")
    assert api.get("/v1/images").json()["data"] == []
    monkeypatch.setattr(app.state.service.decoder, "seconds", AMPLE_SECONDS)
    assert api.post("/v1/images", content=jpeg(64)).status_code == 201


def test_no_decoder_outlives_an_api_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "bomb.jpg").write_bytes(slow_jpeg(30_000))
    program = f"""
import multiprocessing, pathlib, threading, time
from api.decoder import PROCESSES, Decoder

def report():
    while len(multiprocessing.active_children()) <= PROCESSES:  # with the spare, which may be the one that decodes
        time.sleep(0.05)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)

if __name__ == "__main__":
    threading.Thread(target=report, daemon=True).start()
    content = pathlib.Path("{tmp_path}/bomb.jpg").read_bytes()
    Decoder(seconds={AMPLE_SECONDS})(content, max_bytes=1 << 30, min_side=64)
"""
    (tmp_path / "program.py").write_text(program)
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    command = [sys.executable, str(tmp_path / "program.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as api:
        assert api.stdout is not None
        decoders = [int(pid) for pid in api.stdout.readline().split()]
        assert decoders
        while max(map(busy_seconds, decoders)) < 3:  # start-up takes less: one of them decodes
            time.sleep(0.1)
        api.kill()
    deadline = time.monotonic() + 60
    while any(map(alive, decoders)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(alive, decoders))


def busy_seconds(pid: int) -> float:
    """The CPU time of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11]) / os.sysconf("SC_CLK_TCK")


def alive(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
