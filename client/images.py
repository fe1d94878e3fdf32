"""Pictures: uploaded, kept as PNG, used as references, test pictures and masks."""

from datetime import datetime
from pathlib import Path

from client.call import Call, Listing, at, create, filters, nothing
from client.models import Image, Upload
from client.operations import listing, verb

KINDS = {b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}
"""By how a file begins; what it really is the service finds out."""


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
    def upload_image_presigned(self, picture: Path | str | bytes, *, idempotency_key: str | None = None) -> Call[Image]:
        """As `upload_image`, but the file goes straight to the object storage: the API does not carry it."""
        content = picture if isinstance(picture, bytes) else Path(picture).read_bytes()
        kind = next((kind for start, kind in KINDS.items() if content.startswith(start)), "image/png")

        def put(announced: bytes) -> Call[Image]:
            upload = Upload.model_validate_json(announced)
            asked = {"upload_id": upload.id}
            finish = create(at("images"), Image.model_validate_json, asked, idempotency_key=idempotency_key)
            return Call("PUT", upload.url, lambda _: finish, {"content": content, "headers": upload.headers})

        return create(
            at("uploads"),
            put,
            {"content_type": kind, "size": len(content)},
            idempotency_key=idempotency_key and f"{idempotency_key}.upload",
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
