"""Images, uploads, and what a file says of itself."""

from datetime import datetime

from lipe_client.model import Model
from lipe_client.models.words import CredentialState


class Image(Model):
    """An uploaded image, stored as an sRGB JPEG or PNG. Only the response for one image has `url`, a signed URL."""

    id: str
    width: int
    height: int
    content_type: str
    size: int
    sha256: str
    created_at: datetime
    faces: int | None = None
    url: str | None = None


class Region(Model):
    """A rectangle of an image in pixels, from its top left."""

    left: int
    top: int
    width: int
    height: int


class ClaimedAction(Model):
    """One action that an image's credentials claim, such as c2pa.edited."""

    action: str
    digital_source_type: str | None = None
    software: str | None = None
    regions: tuple[Region, ...] = ()


class ClaimSigner(Model):
    """The certificate that signed an image's credentials."""

    organization: str | None = None
    common_name: str | None = None
    serial_number: str | None = None
    algorithm: str | None = None


class Verification(Model):
    """The claims of an image file about itself. `watermark` is None if the service did not look for one.

    `edit_id` is set if this service made the file and the key's project has the edit. `watermark_edit_id` is that of
    the watermark, which survives most programs that drop the credentials: a hint and no proof.
    """

    credentials: CredentialState
    made_here: bool
    edit_id: str | None = None
    failures: tuple[str, ...] = ()
    signer: ClaimSigner | None = None
    software: str | None = None
    actions: tuple[ClaimedAction, ...] = ()
    ingredients: int = 0
    watermark: bool | None = None
    watermark_edit_id: str | None = None


class Upload(Model):
    """An announced upload: the URL and the headers for the PUT of its file."""

    id: str
    url: str
    headers: dict[str, str]
    expires_at: datetime
