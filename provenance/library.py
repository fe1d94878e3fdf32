"""The C2PA library with the settings that this service relies on. It is imported late: its native part has 23 MB.

Nothing here uses the network: no remote manifests, no OCSP. No thumbnail is embedded: it would show the source image.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SETTINGS: dict[str, Any] = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": True},
    "builder": {"thumbnail": {"enabled": False}},
}


@contextmanager
def opened(trust: dict[str, Any] | None = None) -> Iterator[Any]:
    """A context of the library. `trust` has PEM texts: `trust_anchors` or `allowed_list`."""
    import c2pa

    with c2pa.Context.from_dict({**SETTINGS, "trust": trust or {}}) as context:
        yield context
