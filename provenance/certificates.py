"""Certificates for Content Credentials: reading a chain, and a local authority for trying out.

A chain is a PEM text with the signer's certificate first. Verifiers outside trust a certificate only if its authority
is on the C2PA trust list. A local authority is on no list: its signatures are valid, and their signer is unknown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_PERIOD = timedelta(days=3650)
SIGNER_PERIOD = timedelta(days=825)
CLOCK_DIFFERENCE = timedelta(hours=1)
CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
SMALLEST_RSA_KEY = 2048


class InvalidCertificates(ValueError):
    """The message says what is wrong with the chain or the key, and what to do."""


class OutOfPeriod(InvalidCertificates):
    """The signer's certificate has expired, or is not valid yet."""


@dataclass(frozen=True)
class Created:
    """A local authority's certificate, a signer's chain, and its key: PEM texts. The authority's key is not kept."""

    authority: str
    chain: str
    key: str


def create_local(organization: str) -> Created:
    """A new local authority and a signer's certificate by it (ECDSA, P-256).

    The authority signs this one certificate and its key is then forgotten, so that it cannot be stolen.
    """
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority_name = _name(organization, "LIPE local authority (not on any trust list)")
    usage = {"key_cert_sign": True, "crl_sign": True}
    root = _certificate(authority_name, authority_name, authority_key.public_key(), AUTHORITY_PERIOD, usage)
    root = root.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    authority = root.sign(authority_key, hashes.SHA256())
    signer_name = _name(organization, "LIPE content credentials")
    leaf = _certificate(signer_name, authority_name, key.public_key(), SIGNER_PERIOD, {"digital_signature": True})
    leaf = leaf.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    # The purpose that the C2PA specification (14.5.1) accepts from every authority.
    leaf = leaf.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    signer = leaf.add_extension(issuer, critical=False).sign(authority_key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Created(to_pem([authority]), to_pem([signer, authority]), private.decode())


def read_chain(text: str) -> list[x509.Certificate]:
    """The certificates of a PEM text: the signer's, then at least its issuer's. Raises InvalidCertificates."""
    try:
        chain = x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        chain = []
    if len(chain) < 2:
        raise InvalidCertificates(
            "the chain must be a PEM text with at least two certificates: the signer's first, then its issuers"
        )
    return chain


def read_pem(name: str | Path) -> str:
    """The text of a file. Raises InvalidCertificates if it cannot be read."""
    try:
        return Path(name).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidCertificates(f"a file of certificates or keys cannot be read: {error}") from error


def algorithm(certificate: x509.Certificate) -> str:
    """The C2PA name of the signature algorithm for the certificate's key. Raises InvalidCertificates."""
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in CURVES:
        return CURVES[key.curve.name]
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "ED25519"
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= SMALLEST_RSA_KEY:
        return "PS256"
    raise InvalidCertificates("the key is none that C2PA allows: use ECDSA P-256, P-384 or P-521, Ed25519, or RSA 2048")


def check_period(certificate: x509.Certificate, now: datetime) -> None:
    """Raise OutOfPeriod unless the certificate is valid now."""
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        period = f"{certificate.not_valid_before_utc:%Y-%m-%d} to {certificate.not_valid_after_utc:%Y-%m-%d}"
        raise OutOfPeriod(f"the signer's certificate is valid from {period}: renew it")


def to_pem(certificates: Sequence[x509.Certificate]) -> str:
    """The certificates as one PEM text."""
    return "".join(one.public_bytes(serialization.Encoding.PEM).decode() for one in certificates)


def _name(organization: str, common_name: str) -> x509.Name:
    parts = {NameOID.ORGANIZATION_NAME: organization, NameOID.COMMON_NAME: common_name}
    return x509.Name([x509.NameAttribute(kind, text) for kind, text in parts.items()])


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    period: timedelta,
    usage: dict[str, bool],
) -> x509.CertificateBuilder:
    start = datetime.now(UTC) - CLOCK_DIFFERENCE
    usages = dict.fromkeys(
        (
            "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
            "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
        ),
        False,
    )  # fmt: skip
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + period)
        .add_extension(x509.KeyUsage(**{**usages, **usage}), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )
