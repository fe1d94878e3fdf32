"""Pictures: uploaded, kept as PNG, used as references, test pictures and masks."""

from datetime import datetime
from pathlib import Path

from client.call import Call, Listing, at, create, filters, nothing
from client.models import Image
from client.verbs import listing, verb


class Images:
    """The calls on images."""

    @verb
    def upload_image(self, picture: Path | str | bytes, *, idempotency_key: str | None = None) -> Call[Image]:
        """Send a JPEG, PNG or WebP file, by its path or its bytes."""
        content = picture if isinstance(picture, bytes) else Path(picture).read_bytes()
        kind = {"Content-Type": "application/octet-stream"}
        return create(
            at("images"), Image.model_validate_json, idempotency_key=idempotency_key, content=content, headers=kind
        )

    @verb
    def image(self, image: Image | str) -> Call[Image]:
        """One picture, with a URL of its file."""
        return Call("GET", at("images", image), Image.model_validate_json)

    @listing
    def images(
        self, *, created_after: datetime | None = None, created_before: datetime | None = None
    ) -> Listing[Image]:
        """All pictures, newest first."""
        return Listing(at("images"), Image, filters(created_after=created_after, created_before=created_before))

    @verb
    def delete_image(self, image: Image | str) -> Call[None]:
        """Delete a picture that nothing uses."""
        return Call("DELETE", at("images", image), nothing)
