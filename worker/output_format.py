"""The file format of edited images: PNG, JPEG or WebP, with the request's quality.

PNG, and WebP without a quality, keep every pixel, so the result equals the source outside the edit mask exactly.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

PNG_COMPRESSION = 3
"""zlib's level. At 4032 x 3024, its default 6 takes 1.5 times as long and saves 9 %."""
WEBP_EFFORT = 2
"""libwebp's method of 0 to 6. A higher one takes several times as long on a photo and saves a few percent."""
DEFAULT_JPEG_QUALITY = 90
SUFFIXES = {"png": "png", "jpeg": "jpg", "webp": "webp"}


@dataclass(frozen=True)
class OutputFormat:
    """`name` is png, jpeg or webp. `quality`, from 1 to 100, is None for a format that loses nothing."""

    name: str = "png"
    quality: int | None = None

    @classmethod
    def of_job(cls, parameters: Mapping[str, Any]) -> "OutputFormat":
        """The format that a job's parameters ask for."""
        name, quality = parameters.get("output_format", "png"), parameters.get("output_quality")
        return cls(name, DEFAULT_JPEG_QUALITY if name == "jpeg" and quality is None else quality)

    @property
    def suffix(self) -> str:
        """The suffix of file names, without its dot."""
        return SUFFIXES[self.name]

    @property
    def content_type(self) -> str:
        """The media type."""
        return f"image/{self.name}"

    def encode(self, image: Image.Image) -> bytes:
        """The bytes of the image's file."""
        content = io.BytesIO()
        image.save(content, self.name.upper(), **self._options())
        return content.getvalue()

    def _options(self) -> dict[str, Any]:
        if self.name == "png":
            return {"compress_level": PNG_COMPRESSION}
        if self.name == "webp":
            return {"lossless": self.quality is None, "quality": self.quality or 0, "method": WEBP_EFFORT}
        return {"quality": self.quality}


MASK_FORMAT = OutputFormat()
"""Masks are always PNG: a lossy edge would change which pixels a mask covers."""
