"""Signed images, and signers by a local authority of their own."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

from PIL import Image

from cli.credential_files import CredentialFiles
from provenance.edit_manifest import EditFacts, Region, definition
from provenance.signing import Signer, load_signer

FACTS = EditFacts("edt_1", "0.2.0", "ef" * 32, "ab" * 32, ("cd" * 32,), "nima", region=Region(3, 4, 20, 10))


def local_signer(folder: Path, organization: str = "Example") -> Signer:
    """A new signer, whose files are in the folder."""
    files = CredentialFiles(folder)
    files.create(organization)
    return load_signer(files.chain, files.key, "")


def noise(name: str = "PNG", size: tuple[int, int] = (96, 80)) -> bytes:
    """A file of an image that no codec compresses to nothing."""
    content = BytesIO()
    Image.effect_noise(size, 60).convert("RGB").save(content, name)
    return content.getvalue()


def signed(signer: Signer, content: bytes, content_type: str = "image/png", edit_id: str = "edt_1") -> bytes:
    """The image, signed as the result of an edit."""
    manifest = definition(replace(FACTS, edit_id=edit_id), "image-1.png", content_type)
    return signer.embed(content, content_type, manifest, None)
