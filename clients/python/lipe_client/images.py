"""Operations on images, which serve as references, source images and masks. The service stores them as JPEG or PNG."""

from datetime import datetime
from pathlib import Path

from lipe_client.call import Call, Listing, create, filters, no_content, path_of
from lipe_client.models import Image, Upload
from lipe_client.operations import list_operation, operation

CONTENT_TYPES = {
    b"\xff\xd8\xff": "image/jpeg",
    b"RIFF": "image/webp",
    b"ftypavi": "image/avif",
    b"ftyp": "image/heic",
}
"""Content types by the bytes with which a file begins, at 0 or 4. The service checks the file itself."""


class Images:
    """The operations on images."""

    @operation
    def upload_image(self, file: Path | str | bytes, *, idempotency_key: str | None = None) -> Call[Image]:
        """Upload a JPEG, PNG, WebP, HEIC or AVIF file, given by its path or its bytes."""
        content = file if isinstance(file, bytes) else Path(file).read_bytes()
        return create(
            path_of("images"),
            Image.model_validate_json,
            idempotency_key=idempotency_key,
            content=content,
            headers={"Content-Type": "application/octet-stream"},
        )

    @operation
    def upload_image_from_url(self, url: str, *, idempotency_key: str | None = None) -> Call[Image]:
        """Create an image from the file at a public URL, which the service fetches without following redirects."""
        return create(path_of("images"), Image.model_validate_json, {"url": url}, idempotency_key=idempotency_key)

    @operation
    def upload_image_presigned(self, file: Path | str | bytes, *, idempotency_key: str | None = None) -> Call[Image]:
        """Upload a file to the object storage by a presigned URL; its bytes do not pass through the API."""
        content = file if isinstance(file, bytes) else Path(file).read_bytes()
        types = (name for start, name in CONTENT_TYPES.items() if content[:12].find(start) in (0, 4))

        def put(response: bytes) -> Call[Image]:
            upload = Upload.model_validate_json(response)
            body = {"upload_id": upload.id}
            finish = create(path_of("images"), Image.model_validate_json, body, idempotency_key=idempotency_key)
            return Call("PUT", upload.url, lambda _: finish, {"content": content, "headers": upload.headers})

        return create(
            path_of("uploads"),
            put,
            {"content_type": next(types, "image/png"), "size": len(content)},
            idempotency_key=idempotency_key and f"{idempotency_key}.upload",
        )

    @operation
    def image(self, image: Image | str) -> Call[Image]:
        """One image, with a URL of its file."""
        return Call("GET", path_of("images", image), Image.model_validate_json)

    @list_operation
    def images(
        self, *, created_after: datetime | None = None, created_before: datetime | None = None
    ) -> Listing[Image]:
        """All images, newest first."""
        return Listing(path_of("images"), Image, filters(created_after=created_after, created_before=created_before))

    @operation
    def delete_image(self, image: Image | str, *, cascade: bool = False) -> Call[None]:
        """Delete an image that no subject and no edit uses; with `cascade`, also those that use it."""
        options = {"params": {"cascade": "true"}} if cascade else {}
        return Call("DELETE", path_of("images", image), no_content, options)
