"""A second reader of Content Credentials, written from the C2PA specification 2.x and without its library.

It walks the JUMBF boxes (ISO 19566-5) and checks the COSE signature (RFC 9052) with the certificate of its own header.
It also checks the certificate's issuer, the hash of each assertion, and that of the file. A failed check raises Broken.
It covers what LIPE writes: PNG, JPEG and WebP, ECDSA with P-256, SHA-256.
"""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cbor2
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

ALGORITHM, CHAIN = 1, 33
"""Labels of COSE headers: the algorithm, and the certificates (RFC 9360)."""
ES256 = -7
PREFIX = "self#jumbf="
TYPES = frozenset(
    name + bytes.fromhex("00110010800000AA00389B71") for name in (b"c2pa", b"c2ma", b"c2as", b"c2cl", b"c2cs", b"cbor")
)
WITH_LABEL, WITH_SALT = 3, 19
"""Flags of a description: what follows the type."""


class Broken(ValueError):
    """The file or its credentials were changed. The message names the check that failed."""


@dataclass(frozen=True)
class Box:
    """A JUMBF superbox: its label, its children by label, its content, and the bytes that hashes cover."""

    label: str
    children: dict[str, "Box"]
    content: bytes
    hashed: bytes


@dataclass(frozen=True)
class Statement:
    """The content of a file's newest manifest. `assertions` are by their labels."""

    claim: dict[str, Any]
    assertions: dict[str, Any]
    signer: x509.Certificate
    manifests: int


def verified(content: bytes) -> Statement:
    """The newest manifest of the file, after all checks. Raises Broken."""
    try:
        return _verified(content)
    except Exception as error:  # damaged structures raise many types
        raise Broken(str(error)) from error


def _verified(content: bytes) -> Statement:
    stored, start, end = _store(content)
    store = _superbox(stored)
    manifest = list(store.children.values())[-1]
    claim_bytes = manifest.children["c2pa.claim.v2"].content
    claim = cbor2.loads(claim_bytes)
    signer = _checked_signature(_find(store, manifest, claim["signature"]).content, claim_bytes)
    assertions: dict[str, Any] = {}
    for reference in [*claim["created_assertions"], *claim.get("gathered_assertions", [])]:
        box = _find(store, manifest, reference["url"])
        _require(hashlib.sha256(box.hashed).digest() == reference["hash"], f"the assertion {box.label}")
        assertions[box.label] = cbor2.loads(box.content)
    listed = set(manifest.children["c2pa.assertions"].children)
    _require(listed == set(assertions), "the list of assertions")
    for label, assertion in assertions.items():
        if label.startswith("c2pa.ingredient") and "activeManifest" in assertion:
            reference = assertion["activeManifest"]
            box = _find(store, manifest, reference["url"])
            _require(hashlib.sha256(box.hashed).digest() == reference["hash"], "the ingredient's manifest")
    binding = assertions["c2pa.hash.data"]
    _require(binding["exclusions"] == [{"start": start, "length": end - start}], "the place of the credentials")
    _require(hashlib.sha256(content[:start] + content[end:]).digest() == binding["hash"], "the file")
    return Statement(claim, assertions, signer, len(store.children))


def _require(is_right: bool, what: str) -> None:
    if not is_right:
        raise Broken(f"{what} was changed")


def _store(content: bytes) -> tuple[bytes, int, int]:
    """The manifest store in the file's container, and the part of the file that holds it."""
    if content.startswith(b"\x89PNG"):
        found = [part for part in _chunks(content, 8, ">I4s", 4) if part[0][1] == b"caBX"]
    elif content.startswith(b"RIFF"):
        found = [part for part in _chunks(content, 12, "<4sI", 0) if part[0][0] == b"C2PA"]
    else:
        found = [part for part in _segments(content) if part[0] == 0xEB and part[1].startswith(b"JP")]
        # Each part has an identifier, its instance and its number; all but the first repeat the box's header.
        found = [(kind, data[16 if number else 8 :], *place) for number, (kind, data, *place) in enumerate(found)]
    if not found:
        raise Broken("the file has no credentials")
    return b"".join(data for _, data, _, _ in found), found[0][2], found[-1][3]


def _chunks(content: bytes, place: int, header: str, trailer: int) -> Iterator[Any]:
    """The chunks of a PNG or WebP file: header, data, start and end."""
    size = struct.calcsize(header)
    while place + size <= len(content):
        values = struct.unpack_from(header, content, place)
        (length,) = (value for value in values if isinstance(value, int))
        end = place + size + length + trailer + (length % 2 if trailer == 0 else 0)
        yield values, content[place + size : place + size + length], place, end
        place = end


def _segments(content: bytes) -> Iterator[Any]:
    """The JPEG segments before the image data: marker, data, start and end."""
    place = 2
    while content[place] == 0xFF and content[place + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", content, place + 2)
        yield content[place + 1], content[place + 4 : place + 2 + length], place, place + 2 + length
        place += 2 + length


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The ISO boxes one after the other: kind and payload."""
    place = 0
    while place < len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        if length < 8 or place + length > len(content):
            raise Broken(f"the length of a box is {length}")
        yield kind, content[place + 8 : place + length]
        place += length


def _superbox(content: bytes) -> Box:
    (kind, payload), *_ = _boxes(content)
    _require(kind == b"jumb", "a superbox")
    (_, description), *rest = _boxes(payload)
    _require(description[:16] in TYPES and description[16] in (WITH_LABEL, WITH_SALT), "a box's description")
    label = description[17 : description.index(b"\0", 17)].decode()  # after the type and one byte of toggles
    children = {
        child.label: child
        for kind, data in rest
        if kind == b"jumb"
        for child in [_superbox(struct.pack(">I4s", len(data) + 8, kind) + data)]
    }
    contents = [data for kind, data in rest if kind == b"cbor"]
    _require(len(children) + len(contents) == len(rest), "the kind of a box")
    return Box(label, children, contents[0] if contents else b"", payload)


def _find(store: Box, manifest: Box, url: str) -> Box:
    """The box of a JUMBF reference, which is relative to the manifest unless it starts with a slash."""
    _require(url.startswith(PREFIX), "a reference")
    path = url.removeprefix(PREFIX)
    box, labels = (store, path.split("/")[2:]) if path.startswith(f"/{store.label}/") else (manifest, path.split("/"))
    for label in labels:
        if label not in box.children:
            raise Broken(f"there is no {label}")
        box = box.children[label]
    return box


def _checked_signature(content: bytes, claim: bytes) -> x509.Certificate:
    """The signer's certificate, after the signature over the claim and the certificate's own were checked."""
    protected_bytes, unprotected, payload, signature = cbor2.loads(content).value
    protected = cbor2.loads(protected_bytes)
    _require(payload is None and protected[ALGORITHM] == ES256, "the signature's header")
    _require(not any(unprotected.get("pad", b"")), "the padding of the signature")
    chain = protected.get(CHAIN) or unprotected[CHAIN]
    signer, issuer = (x509.load_der_x509_certificate(one) for one in chain[:2])
    signed = cbor2.dumps(["Signature1", protected_bytes, b"", claim])
    half = len(signature) // 2
    numbers = (int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))
    key = signer.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise Broken("the signer's key is not ECDSA")
    try:
        key.verify(encode_dss_signature(*numbers), signed, ec.ECDSA(hashes.SHA256()))
        signer.verify_directly_issued_by(issuer)
    except InvalidSignature as error:
        raise Broken("the signature does not fit the claim") from error
    return signer
