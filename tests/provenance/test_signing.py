"""Signing and reading: pixels stay, the manifest says what happened, and a changed byte is found."""

import shlex
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from provenance import ingredient
from provenance.certificates import Created, InvalidCertificates, create_local
from provenance.edit_manifest import EDITED_BY_MODEL, EditFacts, Region, definition
from provenance.ingredient import archive
from provenance.reading import Credentials, Trust, read
from provenance.signing import Signer, SigningFailed, command_signer, load_signer
from tests.support.signed_images import FACTS

FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


@pytest.fixture(scope="module")
def local() -> Created:
    """A local authority with a signer."""
    return create_local("Example")


@pytest.fixture
def signer(local: Created, tmp_path: Path) -> Signer:
    """The signer by the files of its key and chain."""
    return signer_of(local, tmp_path)


def signer_of(created: Created, folder: Path) -> Signer:
    """The signer by files in the folder."""
    (folder / "chain.pem").write_text(created.chain)
    (folder / "key.pem").write_text(created.key)
    return load_signer(folder / "chain.pem", folder / "key.pem", "")


def photo(name: str = "PNG", **options: object) -> bytes:
    """A file of an image with 64 x 48 pixels that no codec compresses to nothing."""
    content = BytesIO()
    Image.effect_noise((64, 48), 60).convert("RGB").save(content, name, **options)
    return content.getvalue()


def signed(signer: Signer, content: bytes, content_type: str = "image/png", facts: EditFacts = FACTS) -> bytes:
    """The image, signed as the result of an edit of itself."""
    manifest = definition(facts, "image-1.png", content_type)
    return signer.embed(content, content_type, manifest, None)


def own(local: Created) -> Trust:
    """The trust of the installation that signs."""
    return Trust((local.chain,))


@pytest.mark.parametrize("name", FORMATS)
def test_signing_changes_no_pixel_and_is_found_in_each_format(name: str, signer: Signer, local: Created) -> None:
    content = photo(name)
    result = signed(signer, content, FORMATS[name])
    with Image.open(BytesIO(content)) as before, Image.open(BytesIO(result)) as after:
        assert before.tobytes() == after.tobytes()
    found = read(result, FORMATS[name], own(local))
    assert (found.state, found.is_own) == ("valid", True)
    assert len(result) - len(content) < 16_000  # no thumbnail


def test_the_manifest_says_what_was_done_and_names_no_prompt(signer: Signer, local: Created) -> None:
    content = signed(signer, photo())
    found = read(content, "image/png", own(local))
    opened, edited = found.actions
    assert (opened.action, edited.action) == ("c2pa.opened", "c2pa.edited")
    assert (edited.digital_source_type, edited.software) == (EDITED_BY_MODEL, "LIPE 0.2.0")
    assert edited.regions == (Region(3, 4, 20, 10),)
    assert found.ingredients == 1
    assert found.edit == {
        "edit_id": "edt_1", "source_sha256": "ef" * 32, "base_model_fingerprint": "ab" * 32,
        "adapter_sha256": ["cd" * 32], "method": "nima",
    }  # fmt: skip
    prompted = read(signed(signer, photo(), facts=replace(FACTS, prompt="a sks dog")), "image/png", own(local))
    assert prompted.edit["prompt"] == "a sks dog"


def test_a_changed_pixel_or_claim_is_found(signer: Signer, local: Created) -> None:
    content = signed(signer, photo())
    claim = content.index(b"edt_1")
    for position, code in ((-60, "assertion.dataHash.mismatch"), (claim, "assertion.hashedURI.mismatch")):
        changed = bytearray(content)
        changed[position] ^= 1
        found = read(bytes(changed), "image/png", own(local))
        assert (found.state, found.is_own, found.edit) == ("broken", False, {})
        assert code in found.failures
    assert read(photo(), "image/png", own(local)) == Credentials("absent")
    assert read(content[:2000], "image/png", own(local)).state == "broken"


def test_a_strangers_manifest_is_untrusted_and_not_our_own(signer: Signer, tmp_path: Path, local: Created) -> None:
    stranger = create_local("Example")  # the same names
    (tmp_path / "other").mkdir()
    content = signed(signer_of(stranger, tmp_path / "other"), photo())
    found = read(content, "image/png", own(local))
    assert (found.state, found.is_own, found.edit) == ("untrusted", False, {})
    assert found.signer is not None
    assert (found.signer.organization, found.signer.common_name) == ("Example", "LIPE content credentials")
    trusting = read(content, "image/png", replace(own(local), authorities=stranger.authority))
    assert (trusting.state, trusting.is_own) == ("valid", False)
    assert read(content, "image/png", Trust((local.chain, stranger.chain))).is_own


def test_a_command_signs_in_place_of_a_file(local: Created, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(local.key)
    (tmp_path / "chain.pem").write_text(local.chain)
    program = tmp_path / "sign.py"
    program.write_text(
        "import sys, pathlib\n"
        "from cryptography.hazmat.primitives import hashes, serialization\n"
        "from cryptography.hazmat.primitives.asymmetric import ec\n"
        "key = serialization.load_pem_private_key(pathlib.Path(sys.argv[1]).read_bytes(), None)\n"
        "sys.stdout.buffer.write(key.sign(sys.stdin.buffer.read(), ec.ECDSA(hashes.SHA256())))\n"
    )
    command = shlex.join([sys.executable, str(program), str(tmp_path / "key.pem")])
    content = signed(load_signer(tmp_path / "chain.pem", None, command), photo())
    assert read(content, "image/png", own(local)).is_own


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("/no/such/program", "did not run"),
        (shlex.join([sys.executable, "-c", "raise SystemExit('the key is locked')"]), "status 1: the key is locked"),
        (shlex.join([sys.executable, "-c", ""]), "status 0: no output"),
        (shlex.join([sys.executable, "-c", "print('not a signature')"]), "cannot be signed"),
    ],
)
def test_a_command_that_fails_is_a_failure_with_its_reason(command: str, reason: str, local: Created) -> None:
    with pytest.raises(SigningFailed, match=reason):
        signed(Signer(local.chain, command_signer(command)), photo())


def test_the_credentials_of_an_upload_stay_in_the_ingredient(signer: Signer, local: Created, tmp_path: Path) -> None:
    (tmp_path / "camera").mkdir()
    upload = signed(signer_of(create_local("A camera"), tmp_path / "camera"), photo("JPEG"), "image/jpeg")
    kept = archive(upload, "image/jpeg")
    assert kept is not None
    rebuilt = photo()
    manifest = definition(FACTS, "image-1.png", "image/png")
    result = signer.embed(rebuilt, "image/png", manifest, kept)
    found = read(result, "image/png", own(local))
    assert (found.state, found.is_own, found.ingredients) == ("valid", True, 1)
    assert b"A camera" in result


def test_an_upload_without_credentials_or_with_damaged_ones_keeps_none(
    signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert archive(photo(), "image/png") is None
    assert archive(photo() + b"c2pa", "image/png") is None
    content = signed(signer, photo())
    assert archive(content[:3000], "image/png") is None
    assert archive(content, "image/png") is not None
    monkeypatch.setattr(ingredient, "MAX_BYTES", 10_000)
    assert archive(content, "image/png") is None


def test_a_chain_that_cannot_sign_is_refused(local: Created, tmp_path: Path) -> None:
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    key.write_text(create_local("Another").key)
    chain.write_text(local.chain)
    for content, reason in ((local.chain, "not that of the first"), (local.authority, "two certificates"), ("", "PEM")):
        chain.write_text(content)
        with pytest.raises(InvalidCertificates, match=reason):
            load_signer(chain, key, "")
    chain.write_text(local.chain)
    with pytest.raises(InvalidCertificates, match="either"):
        load_signer(chain, None, "")
    with pytest.raises(InvalidCertificates, match="cannot be read"):
        load_signer(tmp_path / "none.pem", key, "")
    key.write_text("no key")
    with pytest.raises(InvalidCertificates, match="without a password"):
        load_signer(chain, key, "")
