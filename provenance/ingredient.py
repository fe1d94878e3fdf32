"""Ingredients: what a result's manifest states of the uploaded image that was edited.

The service rebuilds uploads from their pixels, so an upload's own manifest does not survive in its file. `archive`
keeps it apart, with the outcome of its validation against the file that was uploaded.
"""

from io import BytesIO

from provenance.edit_manifest import SOURCE, UPLOADED_IMAGE
from provenance.library import opened

MARK = b"c2pa"
"""Every embedded manifest store contains it, as the label of its outermost box."""
MAX_BYTES = 1 << 20
"""The largest archive that is kept. A manifest with several thumbnails of a camera has about 300 kB."""


def archive(content: bytes, content_type: str) -> bytes | None:
    """The upload's manifest store as an ingredient archive, with its validation. None: it has none that can be kept.

    The content is hostile. Call it in a process with limits of time and memory: see api.decoder.
    """
    import c2pa

    if MARK not in content:
        return None
    try:
        with opened() as context:
            with c2pa.Reader(content_type, BytesIO(content), context=context) as reader:
                if not reader.is_embedded():
                    return None
            kept = BytesIO()
            with c2pa.Builder({"claim_generator_info": [{"name": "LIPE"}]}, context) as builder:
                builder.add_ingredient({**UPLOADED_IMAGE, "format": content_type}, content_type, BytesIO(content))
                builder.write_ingredient_archive(SOURCE, kept)
    except c2pa.C2paError:  # of a damaged or unknown manifest: the upload is an image without one
        return None
    return kept.getvalue() if kept.tell() <= MAX_BYTES else None
