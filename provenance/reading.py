"""Reading and validation of an image's manifest. Nothing is fetched: a manifest that is not in the file is absent."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Literal

from provenance.certificates import read_chain, read_pem, to_pem
from provenance.edit_manifest import EDIT_ASSERTION, Region
from provenance.library import opened

State = Literal["absent", "valid", "untrusted", "broken"]
MAX_TEXT = 200
MAX_ITEMS = 50
MAX_PIXEL = 1 << 20
UNTRUSTED = "signingCredential.untrusted"
UNREADABLE_REPORT: dict[str, Any] = {
    "active_manifest": "",
    "manifests": {"": {}},
    "validation_state": "Invalid",
    "validation_results": {"activeManifest": {"failure": [{"code": "claim.malformed"}]}},
}


@dataclass(frozen=True)
class Trust:
    """The PEM texts of this installation's own chains, now and before, and of the authorities that are trusted.

    Each own chain is a signer's certificate with its issuers.
    """

    own: tuple[str, ...] = ()
    authorities: str = ""


def load_trust(chain_files: Sequence[str], authorities_file: str) -> Trust:
    """The trust by PEM files. Raises InvalidCertificates."""
    chains = [read_pem(name) for name in chain_files]
    for chain in chains:
        read_chain(chain)
    return Trust(tuple(chains), read_pem(authorities_file) if authorities_file else "")


@dataclass(frozen=True)
class Action:
    """One action of the manifest, such as c2pa.edited."""

    action: str
    digital_source_type: str | None
    software: str | None
    regions: tuple[Region, ...]


@dataclass(frozen=True)
class SignerFacts:
    """The signer's certificate: its subject's organization and common name, and its serial number in decimal."""

    organization: str | None
    common_name: str | None
    serial_number: str | None
    algorithm: str | None


@dataclass(frozen=True)
class Credentials:
    """The claims of an image's newest manifest.

    `state`: "valid" is by a trusted signer; "untrusted" has a correct signature by an unknown one; "broken" has failed
    a check, and `failures` has the codes of the C2PA specification. Only of an `own` manifest is `edit` the assertion
    with LIPE's facts. All texts are cut at MAX_TEXT characters and all lists at MAX_ITEMS.
    """

    state: State
    is_own: bool = False
    failures: tuple[str, ...] = ()
    signer: SignerFacts | None = None
    software: str | None = None
    actions: tuple[Action, ...] = ()
    ingredients: int = 0
    edit: dict[str, Any] = field(default_factory=dict)


def read(content: bytes, content_type: str, trust: Trust) -> Credentials:
    """The credentials in an image's file. The content is hostile: see `provenance.ingredient.archive`."""
    report = _report(content, content_type, trust.authorities)
    if report is None:
        return Credentials("absent")
    manifest, failures = report["manifests"][report["active_manifest"]], _failures(report)
    is_own = any(_is_signed_by(chain, content, content_type) for chain in trust.own)
    broken = [code for code in failures if code != UNTRUSTED]
    if broken or report["validation_state"] == "Invalid":
        return Credentials("broken", failures=tuple(broken))
    return _credentials(manifest, "valid" if is_own or not failures else "untrusted", is_own)


def _is_signed_by(chain: str, content: bytes, content_type: str) -> bool:
    """Whether the newest manifest is valid and signed by exactly the first certificate of the chain.

    The library compares no certificates. One with an authority's signature and a serial number is the only such one.
    """
    own, *issuers = read_chain(chain)
    report = _report(content, content_type, to_pem(issuers))
    if report is None or report["validation_state"] != "Trusted":
        return False
    signature = report["manifests"][report["active_manifest"]].get("signature_info", {})
    return bool(signature.get("cert_serial_number") == str(own.serial_number))


def _report(content: bytes, content_type: str, authorities: str) -> dict[str, Any] | None:
    """The library's report on the file. None: it has no manifest."""
    import c2pa

    try:
        trust = {"trust_anchors": authorities} if authorities else {}
        with opened(trust) as context, c2pa.Reader(content_type, BytesIO(content), context=context) as reader:
            if not reader.is_embedded():
                return None
            report: dict[str, Any] = json.loads(reader.json())
    except c2pa.C2paError.ManifestNotFound:
        return None
    except c2pa.C2paError:  # a manifest that cannot be read at all
        return UNREADABLE_REPORT
    # The library reports a manifest whose name was changed in one place as the active one, and does not list it.
    return report if report["active_manifest"] in report["manifests"] else UNREADABLE_REPORT


def _failures(report: dict[str, Any]) -> list[str]:
    found = report.get("validation_results", {}).get("activeManifest", {}).get("failure", [])
    return sorted({_text(one.get("code")) or "" for one in found})[:MAX_ITEMS]


def _credentials(manifest: dict[str, Any], state: State, is_own: bool) -> Credentials:
    signature = manifest.get("signature_info") or {}
    assertions = [one for one in manifest.get("assertions") or [] if isinstance(one.get("data"), dict)]
    actions = [
        action
        for one in assertions
        if str(one.get("label")).startswith("c2pa.actions")
        for action in one["data"].get("actions") or []
    ]
    generators = manifest.get("claim_generator_info") or [{}]
    return Credentials(
        state,
        is_own,
        signer=SignerFacts(
            _text(signature.get("issuer")),
            _text(signature.get("common_name")),
            _text(signature.get("cert_serial_number")),
            _text(signature.get("alg")),
        ),
        software=_software(generators[0]),
        actions=tuple(map(_action, actions[:MAX_ITEMS])),
        ingredients=len(manifest.get("ingredients") or []),
        edit=next((one["data"] for one in assertions if is_own and one.get("label") == EDIT_ASSERTION), {}),
    )


def _action(action: dict[str, Any]) -> Action:
    regions = [
        region
        for change in action.get("changes") or []
        for part in change.get("region") or []
        if (region := _region(part.get("shape") or {})) is not None
    ]
    return Action(
        _text(action.get("action")) or "",
        _text(action.get("digitalSourceType")),
        _software(action.get("softwareAgent")),
        tuple(regions[:MAX_ITEMS]),
    )


def _region(shape: dict[str, Any]) -> Region | None:
    """A rectangle in pixels. None: another shape, or another unit."""
    if shape.get("type") != "rectangle" or shape.get("unit") != "pixel":
        return None
    origin = shape.get("origin") or {}
    numbers = [origin.get("x"), origin.get("y"), shape.get("width"), shape.get("height")]
    if not all(isinstance(number, int | float) and 0 <= number < MAX_PIXEL for number in numbers):
        return None
    return Region(*(int(number) for number in numbers if number is not None))


def _software(agent: Any) -> str | None:
    if isinstance(agent, dict):
        return _text(" ".join(str(agent[key]) for key in ("name", "version") if agent.get(key)))
    return _text(agent)


def _text(value: Any) -> str | None:
    return str(value)[:MAX_TEXT] if value is not None else None
