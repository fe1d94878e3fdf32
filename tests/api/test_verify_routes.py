"""Verification through the API: states of credentials, and which project sees an edit."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image, ImageFilter
from pydantic import SecretStr
from sqlalchemy import select

from ledger.database import UnitOfWork
from ledger.edits import mark_number
from ledger.models import Image as ImageRow
from ledger.models import Project
from provenance.reading import Trust
from provenance.signing import Signer
from provenance.watermark import embed
from tests.api.test_image_routes import UPLOADS
from tests.support.api_fixtures import NewKey, Refuse
from tests.support.signed_images import local_signer, noise, signed

NAMES = ("credentials", "made_here", "edit_id")


@pytest.fixture
def signer(app: FastAPI, tmp_path: Path) -> Iterator[Signer]:
    """The signer of this installation."""
    made, service = local_signer(tmp_path / "signer"), app.state.service
    app.state.service = replace(service, trust=Trust((made.chain,)))
    yield made
    app.state.service = service


def verified(client: TestClient, content: bytes, **form: Any) -> dict[str, Any]:
    """The answer for a file."""
    sent = form or {"content": content}
    body: dict[str, Any] = client.post("/v1/verify", **sent).raise_for_status().json()
    return body


def test_the_owner_sees_the_edit_and_others_see_that_it_was_made_here(
    api: TestClient,
    stranger: TestClient,
    signer: Signer,
    subject: dict[str, Any],
    prior: str,
    upload: Callable[..., str],
) -> None:
    payload = {"prior_id": prior, "image_id": upload("white"), "prompt": "a photo of sks dog jumping"}
    edit_id = api.post("/v1/edits", json=payload).json()["edit_id"]
    content = signed(signer, noise(), edit_id=edit_id)
    found = verified(api, content)
    assert [found[name] for name in NAMES] == ["valid", True, edit_id]
    assert (found["watermark"], found["failures"], found["software"]) == (None, [], "LIPE 0.2.0")
    assert found["actions"][1]["regions"] == [{"left": 3, "top": 4, "width": 20, "height": 10}]
    assert verified(api, content, files={"file": ("x.png", content)}) == found
    theirs = verified(stranger, content)
    assert [theirs[name] for name in NAMES] == ["valid", True, None]
    assert edit_id not in str(theirs)


def test_the_states_of_credentials(api: TestClient, signer: Signer, tmp_path: Path) -> None:
    content, other = signed(signer, noise()), local_signer(tmp_path / "other")
    changed = bytearray(content)
    changed[-60] ^= 1
    expected = {
        content: ["valid", True, None],
        signed(other, noise("JPEG"), "image/jpeg"): ["untrusted", False, None],
        bytes(changed): ["broken", False, None],
        noise("WEBP"): ["absent", False, None],
    }
    for sent, states in expected.items():
        assert [verified(api, sent)[name] for name in NAMES] == states
    broken = verified(api, bytes(changed))
    assert (broken["failures"], broken["signer"]) == (["assertion.dataHash.mismatch"], None)


def test_a_key_that_only_reads_may_verify_and_nothing_is_stored(
    app: FastAPI, begin: UnitOfWork, project: Project, new_key: NewKey, signer: Signer
) -> None:
    reader = TestClient(app, headers={"Authorization": f"Bearer {new_key(project, scope='read')}"})
    assert verified(reader, signed(signer, noise()))["made_here"]
    with begin() as session:
        assert session.scalars(select(ImageRow)).all() == []


@pytest.mark.parametrize(("content", "status", "code"), [row[1:] for row in UPLOADS[:3]])
def test_a_file_that_is_no_image_is_refused(
    api: TestClient, refused: Refuse, content: bytes, status: int, code: str
) -> None:
    refused(status, code, api.post, "/v1/verify", content=content)


def test_an_upload_with_credentials_keeps_them_apart_from_its_pixels(
    api: TestClient, begin: UnitOfWork, signer: Signer
) -> None:
    image_ids = [
        api.post("/v1/images", content=content).raise_for_status().json()["id"]
        for content in (signed(signer, noise("JPEG"), "image/jpeg"), noise("JPEG"))
    ]
    with begin() as session:
        kept = [session.get_one(ImageRow, image_id).credentials for image_id in image_ids]
    assert kept[0] is not None
    assert b"org.lipe.edit" in kept[0]
    assert kept[1] is None


def test_a_watermark_is_found_in_a_screenshot_and_no_other_keys(app: FastAPI, api: TestClient) -> None:
    photo = Image.effect_noise((640, 480), 30).convert("RGB").filter(ImageFilter.GaussianBlur(2))
    mask = Image.new("L", photo.size)
    mask.paste(255, (120, 60, 520, 420))
    marked = embed(photo, mask, b"the key of this service")
    service = app.state.service
    keys = {"": None, "the key of this service": True, "another key": False}
    for key, found in keys.items():
        settings = service.settings.model_copy(update={"watermark_key": SecretStr(key)})
        app.state.service = replace(service, settings=settings)
        assert verified(api, screenshot(marked))["watermark"] is found
    assert verified(api, screenshot(photo))["watermark"] is False
    app.state.service = service


def test_the_watermark_of_a_screenshot_names_the_edit_to_its_project(
    app: FastAPI, api: TestClient, stranger: TestClient, prior: str, upload: Callable[..., str]
) -> None:
    payload = {"prior_id": prior, "image_id": upload("white"), "prompt": "a photo of sks dog jumping"}
    edit_id = api.post("/v1/edits", json=payload).json()["edit_id"]
    photo = Image.effect_noise((640, 480), 30).convert("RGB").filter(ImageFilter.GaussianBlur(2))
    sent = screenshot(embed(photo, Image.new("L", photo.size, 255), b"a key", mark_number(edit_id)))
    service = app.state.service
    settings = service.settings.model_copy(update={"watermark_key": SecretStr("a key")})
    app.state.service = replace(service, settings=settings)
    found = [verified(client, sent) for client in (api, stranger)]
    app.state.service = service
    assert [one["watermark_edit_id"] for one in found] == [edit_id, None]
    assert [one["watermark"] for one in found] == [True, True]
    assert [one["edit_id"] for one in found] == [None, None]
    assert edit_id not in str(found[1])


def screenshot(image: Image.Image) -> bytes:
    """The image, smaller and beside other things, as a JPEG of quality 75."""
    page, content = Image.new("RGB", (620, 560), "white"), BytesIO()
    page.paste(image.resize((468, 351), Image.Resampling.BILINEAR), (70, 110))
    page.save(content, "JPEG", quality=75)
    return content.getvalue()


def test_a_request_for_a_watermark_without_a_key_is_refused(
    api: TestClient, refused: Refuse, prior: str, upload: Callable[..., str]
) -> None:
    payload = {"prior_id": prior, "image_id": upload("white"), "prompt": "a photo of sks dog jumping"}
    body = refused(422, "invalid_request", api.post, "/v1/edits", json=payload | {"result_kind": "published"})
    assert body["param"] == "result_kind"


def test_a_label_is_refused_where_results_are_archival(
    api: TestClient, refused: Refuse, prior: str, upload: Callable[..., str]
) -> None:
    payload = {"prior_id": prior, "image_id": upload("white"), "prompt": "a photo of sks dog jumping"}
    for kind in ({}, {"result_kind": "archival"}):
        sent = payload | {"visible_label": True} | kind
        body = refused(422, "invalid_request", api.post, "/v1/edits", json=sent)
        assert "archival" in str(body)
        assert "visible_label" in str(body)
