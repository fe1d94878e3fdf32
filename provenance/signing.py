"""Signing of images: a manifest is built, signed and embedded. The pixels do not change.

The private key is a file, or stays with a key service. A command then gets the bytes to sign on its standard input and
writes the signature to its standard output.
"""

import shlex
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from provenance.certificates import InvalidCertificates, algorithm, check_period, read_chain, read_pem
from provenance.edit_manifest import UPLOADED_IMAGE
from provenance.library import opened

COMMAND_SECONDS = 30
HASHES: dict[str, hashes.HashAlgorithm] = {
    "ES256": hashes.SHA256(),
    "ES384": hashes.SHA384(),
    "ES512": hashes.SHA512(),
    "PS256": hashes.SHA256(),
}

Sign = Callable[[bytes], bytes]


class SigningFailed(RuntimeError):
    """The image could not be signed. The message says why."""


@dataclass(frozen=True)
class Signer:
    """`chain` is a PEM text, the signer's certificate first; `sign` signs by its key."""

    chain: str
    sign: Sign

    def embed(self, content: bytes, content_type: str, manifest: dict[str, Any], archive: bytes | None) -> bytes:
        """The image's file with the signed manifest, and the upload's own manifest in it. Raises SigningFailed."""
        import c2pa

        definition = manifest if archive is not None else {**manifest, "ingredients": [UPLOADED_IMAGE]}
        errors: list[Exception] = []

        def sign(message: bytes) -> bytes:
            try:
                return self.sign(message)
            except Exception as error:  # the library reports only that there is no signature
                errors.append(error)
                return b""

        signed, kind = BytesIO(), c2pa.C2paSigningAlg[algorithm(read_chain(self.chain)[0])]
        try:
            with opened() as context, c2pa.Builder(definition, context) as builder:
                if archive is not None:
                    builder.add_ingredient_from_archive(BytesIO(archive))
                with c2pa.Signer.from_callback(sign, kind, self.chain) as signer:
                    builder.sign(signer, content_type, BytesIO(content), signed)
        except c2pa.C2paError as error:
            raise SigningFailed(f"the result cannot be signed: {errors[0] if errors else error}") from error
        return signed.getvalue()


def load_signer(chain_file: Path, key_file: Path | None, command: str) -> Signer:
    """The signer by a private key's file or by a command; exactly one of them is given. Raises InvalidCertificates."""
    chain = read_pem(chain_file)
    key = read_pem(key_file).encode() if key_file is not None else None
    certificate = read_chain(chain)[0]
    kind = algorithm(certificate)
    check_period(certificate, datetime.now(UTC))
    if (key is None) == (not command):
        raise InvalidCertificates("give either the private key's file or a command that signs")
    if key is None:
        return Signer(chain, command_signer(command))
    private = _private_key(key)
    if private.public_key() != certificate.public_key():
        raise InvalidCertificates("the private key is not that of the first certificate of the chain")
    return Signer(chain, _key_signer(private, kind))


def command_signer(command: str) -> Sign:
    """A function that signs by a command, which runs without a shell. Its errors are SigningFailed."""
    arguments = shlex.split(command)

    def sign(message: bytes) -> bytes:
        try:
            done = subprocess.run(  # noqa: S603 - the operator's own setting
                arguments, input=message, capture_output=True, timeout=COMMAND_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SigningFailed(f"the signing command did not run: {error}") from error
        if done.returncode or not done.stdout:
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no output"]
            raise SigningFailed(f"the signing command ended with status {done.returncode}: {last[0][:200]}")
        return done.stdout

    return sign


def _private_key(key: bytes) -> Any:
    with suppress(ValueError, TypeError, UnsupportedAlgorithm):
        return serialization.load_pem_private_key(key, None)
    raise InvalidCertificates("the private key is no PEM text without a password")


def _key_signer(key: Any, kind: str) -> Sign:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign
    if isinstance(key, rsa.RSAPrivateKey):
        pss = padding.PSS(padding.MGF1(HASHES[kind]), padding.PSS.DIGEST_LENGTH)
        return lambda message: key.sign(message, pss, HASHES[kind])
    curve_key: ec.EllipticCurvePrivateKey = key
    return lambda message: curve_key.sign(message, ec.ECDSA(HASHES[kind]))
