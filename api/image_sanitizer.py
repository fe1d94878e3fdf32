"""Sanitizing of uploaded images: an untrusted file becomes a new file, rebuilt from its pixels.

Format, size and number of frames are checked from the header before anything is decoded. Colors become sRGB with 8 bits
a channel, and transparency becomes white. The new file holds pixels alone: no EXIF (places, serial numbers), no XMP, no
profile, no text, no bytes behind the end of the file. It is a JPEG if the file was one whose pixels need no change, and
otherwise a PNG. Neither changes a pixel.
"""

from dataclasses import dataclass
from io import BytesIO
from itertools import product

from PIL import Image, ImageChops, ImageCms, ImageOps

from api.faces import count_faces
from api.image_formats import (
    MAX_PIXELS,
    PHONE_FORMATS,
    ImageRefused,
    media_type,
    open_image,
    too_many_pixels,
    unreadable,
)
from api.jpeg_rebuild import rebuild_jpeg
from provenance.ingredient import archive

MAX_SIDE = 8192
ROUNDING = 2  # of 255: by how much an sRGB profile may differ from sRGB
PNG_COMPRESSION = 3  # zlib's default level takes three times as long to save a few percent


@dataclass(frozen=True)
class SanitizedImage:
    """An image in 8-bit sRGB without metadata; `content` is the file, a JPEG or a PNG.

    `faces` is the number of human faces in it; None without `find_faces`.
    `credentials` are the uploaded file's own Content Credentials, apart from the pixels, if it had some.
    """

    width: int
    height: int
    content: bytes
    content_type: str
    faces: int | None = None
    credentials: bytes | None = None


def sanitize_image(
    content: bytes, *, max_bytes: int, min_side: int, find_faces: bool = False, keep_jpeg: bool = True
) -> SanitizedImage:
    """Rebuild the image of an uploaded file. Raises ImageRefused, with a code of its own for each kind of refusal.

    Rebuilding a damaged JPEG as a JPEG may end the process: see api.jpeg_rebuild. Without `keep_jpeg`, the file's
    Content Credentials are dropped, too: reading them is the other step that might have ended it.
    """
    if len(content) > max_bytes:
        raise ImageRefused("image_too_large", f"the file has {len(content)} bytes: send at most {max_bytes}")
    source = open_image(content)
    check_size(source, min_side)
    try:
        source.load()
        check_size(source, min_side)  # of a HEIC file, the encoded image may be larger than its header says
        image = _flat(_srgb(_eight_bit(ImageOps.exif_transpose(source))))
    except (ImageRefused, MemoryError):  # a lack of memory is the process's limit, not a fault of the file
        raise
    except Exception as error:  # Pillow's decoders raise many types for damaged files
        raise unreadable(error) from error
    faces = count_faces(image) if find_faces else None
    credentials = archive(content, media_type(source)) if keep_jpeg else None
    if keep_jpeg and (jpeg := rebuild_jpeg(content, source, image)) is not None:
        return SanitizedImage(*image.size, jpeg, "image/jpeg", faces, credentials)
    return SanitizedImage(*image.size, _png(image), "image/png", faces, credentials)


def _png(image: Image.Image) -> bytes:
    rebuilt, png = Image.frombytes("RGB", image.size, image.tobytes()), BytesIO()
    rebuilt.save(png, "PNG", compress_level=PNG_COMPRESSION)
    return png.getvalue()


def check_size(source: Image.Image, min_side: int) -> None:
    """Refuse an image by its size and its number of frames, which are known before anything is decoded."""
    if source.width * source.height > MAX_PIXELS:
        raise too_many_pixels()
    if min(source.size) < min_side or max(source.size) > MAX_SIDE:
        raise ImageRefused(
            "image_sides_out_of_range",
            f"the image is {source.width} x {source.height} pixels: send one with sides of {min_side} to {MAX_SIDE}",
        )
    if getattr(source, "is_animated", False) and source.format not in PHONE_FORMATS:
        raise ImageRefused("image_animated", "the image has several frames: send a still image")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Convert palettes, 1-bit and 16-bit grays to 8-bit L, LA, RGB, RGBA or CMYK."""
    if image.mode.startswith("I"):
        # Pillow clips at 255 when it converts: scale 16-bit grays to the range 0 to 255 first.
        wide = image.convert("I")
        return wide.point(lambda value: value * (1 / 257) + 0.5).convert("L")
    if "transparency" in image.info:
        return image.convert("RGBA")
    if image.mode == "P":
        return image.convert("RGB")
    return image.convert("L") if image.mode == "1" else image


def _srgb(image: Image.Image) -> Image.Image:
    """Convert to RGB or RGBA in the sRGB color space. A profile that cannot be used, or that is sRGB, is ignored."""
    profile = image.info.get("icc_profile")
    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    colors = image.convert({"LA": "L", "RGBA": "RGB"}.get(image.mode, image.mode))
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            if colors.mode != "RGB" or not _is_srgb(source):
                colors = ImageCms.profileToProfile(colors, source, target, outputMode="RGB") or colors
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass
    colors = colors.convert("RGB")
    if alpha is not None:
        colors.putalpha(alpha)
    return colors


def _is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    """Whether the profile's colors equal those of sRGB but for rounding, so that a conversion would only add noise."""
    steps = range(0, 256, 17)
    colors = Image.frombytes("RGB", (16, 256), bytes(value for color in product(steps, repeat=3) for value in color))
    converted = ImageCms.profileToProfile(colors, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    return converted is not None and max(ImageChops.difference(colors, converted).tobytes()) <= ROUNDING


def _flat(image: Image.Image) -> Image.Image:
    """Replace transparency by white."""
    if image.mode != "RGBA":
        return image
    background = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(background, image).convert("RGB")
