"""Fuzz the parsers of bytes and texts of strangers: only the documented refusals, never another exception.

`make fuzz` runs these with a budget of time (SECONDS). Here each runs a few examples and the corpus. A failing input
that hypothesis prints belongs into tests/fuzz/corpus, so that it stays tested.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from api.decoder import Decoder
from api.lora_header import START_BYTES, check_header, header_size
from api.problems import Problem
from ledger.addresses import Forbidden, normal_url

CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())
SECONDS = float(os.environ.get("LIPE_FUZZ_SECONDS", "0"))
"""The budget of each target; 0: one batch of examples."""
BATCH = 60
IDEMPOTENCY_KEY = re.compile(rb"[\x21-\x7e]{1,255}")


def image(name: str, size: tuple[int, int] = (70, 66)) -> bytes:
    file = BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(file, name)
    return file.getvalue()


def lora(tensors: dict[str, object]) -> bytes:
    header = json.dumps(tensors).encode()
    return len(header).to_bytes(8, "little") + header + bytes(8)


IMAGES = [image(name) for name in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")]
LORAS = [lora({"lora_up.weight": {"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 8]}}), lora({}), bytes(16)]


@st.composite
def damaged(draw: st.DrawFn, samples: list[bytes]) -> bytes:
    """A valid file with bytes changed, cut out, repeated or added; now and then only noise."""
    content = bytearray(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, len(content)))
        match draw(st.integers(0, 3)):
            case 0:
                content[place : place + 1] = draw(st.binary(min_size=1, max_size=4))
            case 1:
                del content[place : place + draw(st.integers(1, 64))]
            case 2:
                content[place:place] = content[: draw(st.integers(0, 64))]
            case _:
                content[place : place + 4] = draw(st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"]))
    return draw(st.binary(max_size=200)) if draw(st.integers(0, 9)) == 0 else bytes(content)


@pytest.fixture(scope="module")
def read_image() -> Iterator[Callable[[bytes], None]]:
    """Sanitize in a process, as the API does, because a damaged JPEG may end it.

    A file that is accepted is whole: its pixels can be read again.
    """
    decoder = Decoder(seconds=60)

    def read(content: bytes) -> None:
        try:
            made = decoder(content, max_bytes=1 << 20, min_side=64)
        except Problem as refusal:
            if not refusal.code.startswith("image_"):
                raise
            return
        with Image.open(BytesIO(made.content)) as again:
            again.load()
            assert again.size == (made.width, made.height)

    yield read
    decoder.close()


def read_lora(content: bytes) -> None:
    """Check as an import does. An accepted file has tensors that end where it ends."""
    try:
        size = header_size(content[:START_BYTES], len(content))
        check_header(content[START_BYTES : START_BYTES + size], len(content) - START_BYTES - size)
    except Problem as refusal:
        if refusal.code != "lora_invalid":
            raise


def read_url(text: str) -> None:
    """Normalise as a request's field does. The form is ASCII, has no fragment, and stays the same."""
    try:
        normal = normal_url(text)
    except Forbidden:
        return
    assert normal.isascii()
    assert "#" not in normal
    assert normal_url(normal) == normal


URLS = st.one_of(
    st.text(max_size=300),
    st.builds(
        "{}://{}{}/{}?{}".format,
        st.sampled_from(["http", "https", "HTTP", "ftp", "file", ""]),
        st.one_of(
            st.text(max_size=60), st.sampled_from(["ex\u00e4mple.com", "[::1]", "127.1", "a@b", "0x7f.1", "%31.0.0.1"])
        ),
        st.sampled_from(["", ":80", ":0", ":65536", ":-1", ":\u0661"]),
        st.text(max_size=80),
        st.text(max_size=80),
    ),
)


def run(check: Callable[..., None], strategy: st.SearchStrategy[object]) -> None:
    """Check examples, batch after batch until the budget is used up; at least one batch."""
    deadline = time.monotonic() + SECONDS

    @settings(max_examples=BATCH, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def examples(value: object) -> None:
        check(value)

    examples()
    while time.monotonic() < deadline:
        examples()


def test_the_image_decoder(read_image: Callable[[bytes], None]) -> None:
    run(read_image, damaged(IMAGES))


def test_safetensors_headers() -> None:
    run(read_lora, damaged(LORAS))


def test_webhook_urls() -> None:
    run(read_url, URLS)


def test_idempotency_headers(api: TestClient) -> None:
    def send(key: bytes) -> None:
        answer = api.post("/v1/subjects/sub_1/priors", headers={b"idempotency-key": key})
        expected = 404 if IDEMPOTENCY_KEY.fullmatch(key) else 422
        assert answer.status_code == expected, (key, answer.text)

    keys = st.one_of(st.binary(max_size=300), st.from_regex(rb"[!-~]{1,256}", fullmatch=True))
    run(send, keys.filter(lambda key: not set(key) & set(b"\r\n\0")))


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.name)
def test_the_corpus(file: Path, read_image: Callable[[bytes], None]) -> None:
    content = file.read_bytes()
    read_image(content)
    read_lora(content)
    read_url(content.decode("utf-8", "replace"))
