"""Images: files of every kind are stored or refused."""

from io import BytesIO
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.support.api_fixtures import Refuse
from tests.support.uploads import photo, png


def _bytes(name: str, **options: Any) -> bytes:
    file = BytesIO()
    Image.effect_noise((128, 128), 90).convert("RGB").save(file, name, **options)
    return file.getvalue()


def _bomb() -> bytes:
    """100 megapixels in 100 kB."""
    file = BytesIO()
    Image.new("1", (10_000, 10_000)).save(file, "PNG")
    return file.getvalue()


UPLOADS = [
    ("nothing", b"", 415, "image_format_unsupported"),
    ("not an image", b"#!/bin/sh\necho hello\n" * 100, 415, "image_format_unsupported"),
    ("another format", _bytes("GIF"), 415, "image_format_unsupported"),
    ("a bomb", _bomb(), 422, "image_too_many_pixels"),
    (
        "an animation",
        _bytes("PNG", save_all=True, append_images=[Image.new("RGB", (128, 128), "red")]),
        422,
        "image_animated",
    ),
    ("a truncated JPEG", _bytes("JPEG")[:-3000], 422, "image_unreadable"),
    ("a stamp", png(size=(32, 32)), 422, "image_sides_out_of_range"),
]


@pytest.mark.parametrize("form", [False, True], ids=["raw", "form"])
@pytest.mark.parametrize(("content", "status", "code"), [row[1:] for row in UPLOADS], ids=[row[0] for row in UPLOADS])
def test_uploads(api: TestClient, refused: Refuse, content: bytes, status: int, code: str, form: bool) -> None:
    sent = {"files": {"file": ("x.jpg", content)}} if form else {"content": content}
    refused(status, code, api.post, "/v1/images", **sent)


@pytest.mark.parametrize("name", ["HEIF", "AVIF"])
def test_photos_of_phones_are_stored(api: TestClient, name: str) -> None:
    image = api.post("/v1/images", content=photo(name)).raise_for_status().json()
    assert (image["width"], image["height"], image["content_type"]) == (96, 96, "image/png")


def test_a_form_without_the_file(api: TestClient, refused: Refuse) -> None:
    body = refused(422, "invalid_request", api.post, "/v1/images", files={"image": png()})
    assert body["param"] == "file"
    refused(422, "invalid_request", api.post, "/v1/images", data={"file": "x"}, files={"other": b"x"})
    broken = {"Content-Type": "multipart/form-data"}
    refused(400, "malformed_request", api.post, "/v1/images", content=b"--x\r\nnonsense", headers=broken)


def test_an_image_in_use_is_not_deleted(api: TestClient, refused: Refuse, subject: dict[str, Any]) -> None:
    image_id = subject["references"][0]["image_id"]
    refused(409, "image_in_use", api.delete, f"/v1/images/{image_id}")
