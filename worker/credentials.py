"""Content Credentials of an edit's results: each image is signed after it is encoded, in a thread beside the GPU's.

Masks are not signed: no model generated them as images.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from ledger.version import VERSION
from lipe_core.methods.request import Edit
from provenance.edit_manifest import EditFacts, Region, definition
from provenance.signing import Signer, SigningFailed
from provenance.visible_label import label_region
from worker.published import PUBLISHED

SIGNED_ROLES = frozenset({"image", "uncomposited"})
WHITE = 128
RETRY_SECONDS = (1, 3)
"""Pauses between the attempts at one signature: a key service may be out for a moment."""


@dataclass(frozen=True)
class ResultCredentials:
    """The signer of one job's results. `facts` have no region and no prompt yet.

    `archive` has the manifest of the edited image's upload, if it had one.
    """

    signer: Signer
    facts: EditFacts
    archive: bytes | None
    states_prompt: bool

    def sign(self, edit: Edit, region: Region | None, role: str, name: str, content: bytes, content_type: str) -> bytes:
        """The file with its credentials; a mask unchanged. Raises SigningFailed."""
        if role not in SIGNED_ROLES:
            return content
        facts = replace(
            self.facts,
            region=region if role == "image" else None,
            prompt=edit.target_prompt if self.states_prompt else None,
        )
        manifest = definition(facts, name, content_type)
        for seconds in RETRY_SECONDS:
            try:
                return self.signer.embed(content, content_type, manifest, self.archive)
            except SigningFailed:
                time.sleep(seconds)
        return self.signer.embed(content, content_type, manifest, self.archive)


def job_credentials(
    signer: Signer | None, facts: EditFacts, archive: bytes | None, parameters: Mapping[str, Any]
) -> ResultCredentials | None:
    """The credentials of a job by its parameters. None: the results are not signed."""
    if signer is None:
        return None
    return ResultCredentials(signer, facts, archive, bool(parameters.get("credentials_prompt")))


def edit_facts(edit_id: str, source_sha256: str, resolved: Mapping[str, Any], size: tuple[int, int]) -> EditFacts:
    """The facts that all results of a job share, by its resolved settings and the width and height of its image."""
    mix = resolved["mix"]
    adapters = [resolved["adapter_sha256"], mix["adapter_sha256"] if mix else None]
    return EditFacts(
        edit_id=edit_id,
        version=VERSION,
        source_sha256=source_sha256,
        base_model=resolved["fingerprint"],
        adapters=tuple(adapter for adapter in adapters if adapter),
        method=resolved["method"],
        has_watermark=resolved["result_kind"] == PUBLISHED,
        label=label_region(size) if resolved["visible_label"] else None,
    )


def edited_region(edit: Edit, mask: Image.Image) -> Region | None:
    """The bounding box of the pixels that may have changed. None: all of them, or none."""
    box = mask.point(lambda level: 255 * (level >= WHITE)).getbbox() if edit.source is not None else None
    return Region(box[0], box[1], box[2] - box[0], box[3] - box[1]) if box else None
