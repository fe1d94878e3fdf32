"""Signed results pass a reader that shares no code with the library that signs them, and no changed byte does."""

from pathlib import Path

import cbor2
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from provenance.edit_manifest import definition
from provenance.ingredient import archive
from provenance.reading import Trust, read
from tests.support.c2pa_reader import Broken, verified
from tests.support.signed_images import FACTS, local_signer, noise, signed

TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


@pytest.mark.parametrize("name", TYPES)
def test_a_signed_result_passes_and_no_changed_part_does(name: str, tmp_path: Path) -> None:
    content = signed(local_signer(tmp_path), noise(name), TYPES[name])
    found = verified(content)
    assert found.assertions["org.lipe.edit"]["edit_id"] == "edt_1"
    actions = [action["action"] for action in found.assertions["c2pa.actions.v2"]["actions"]]
    assert actions == ["c2pa.opened", "c2pa.edited"]
    assert found.claim["claim_generator_info"]["name"] == "LIPE"
    certificate = found.signer.public_bytes(Encoding.DER)
    parts = {label: cbor2.dumps(data) for label, data in found.assertions.items()}
    parts |= {"claim": cbor2.dumps(found.claim), "certificate": certificate}
    places = {part: content.index(data[-60:]) + 30 for part, data in parts.items()}
    for part, place in {**places, "pixels": 300 if name == "WEBP" else len(content) - 60}.items():
        changed = bytearray(content)
        changed[place] ^= 1
        with pytest.raises(Broken):
            verified(bytes(changed))
        assert read(bytes(changed), TYPES[name], Trust()).state == "broken", part


def test_credentials_that_were_moved_to_another_image_do_not_fit_it(tmp_path: Path) -> None:
    signer = local_signer(tmp_path)
    one, other = (signed(signer, noise(size=(96, 80))) for _ in range(2))
    start = one.index(b"caBX") - 4
    end = start + int.from_bytes(one[start : start + 4]) + 12
    moved = other[:start] + one[start:end] + other[end:]
    with pytest.raises(Broken, match="the file was changed"):
        verified(moved)
    assert read(moved, "image/png", Trust()).state == "broken"


def test_the_manifest_of_the_upload_is_bound_by_its_hash(tmp_path: Path) -> None:
    camera, signer = local_signer(tmp_path / "camera", "A camera"), local_signer(tmp_path / "signer")
    kept = archive(signed(camera, noise("JPEG"), "image/jpeg"), "image/jpeg")
    content = signer.embed(noise(), "image/png", definition(FACTS, "image-1.png", "image/png"), kept)
    assert verified(content).manifests == 2
    changed = bytearray(content)
    changed[content.index(b"A camera")] ^= 1
    with pytest.raises(Broken, match="ingredient's manifest"):
        verified(bytes(changed))


def test_a_manifest_whose_name_was_changed_is_broken(tmp_path: Path) -> None:
    """The library then names an active manifest that its report does not have."""
    content = signed(local_signer(tmp_path), noise())
    names = {b"urn:c2pa:": 12, b"jumbf=c2pa.assertions": len(b"jumbf=c2pa")}
    places = [
        place + offset
        for name, offset in names.items()
        for place in range(len(content))
        if content.startswith(name, place)
    ]
    assert len(places) > 2
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 1
        assert read(bytes(changed), "image/png", Trust()).state == "broken"
        with pytest.raises(Broken):
            verified(bytes(changed))
