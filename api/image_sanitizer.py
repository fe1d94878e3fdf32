"""Uploaded pictures are hostile until they have been rebuilt, pixel by pixel.

What a file claims (format, size, frames) is judged from its header before anything is unpacked. Colours become
sRGB with 8 bits a channel, transparency becomes white, and the pixels alone go into a new PNG: no EXIF (places, serial
numbers), no XMP, no profile, no text, nothing hidden behind the end of the file.
"""

from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageCms, ImageOps

SIGNATURES = {"JPEG": b"\xff\xd8\xff", "PNG": b"\x89PNG\r\n\x1a\n", "WEBP": b"RIFF"}
LONGEST_SIDE = 8192
MOST_PIXELS = 50_000_000  # unpacked: 200 MB at 4 bytes each
WHITE = (255, 255, 255)
PNG_EFFORT = 3  # zlib's default takes three times as long for a few percent


class Refused(ValueError):
    """Why the file is not taken: a problem's code, and what to do."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code, self.detail = code, detail


@dataclass(frozen=True)
class Picture:
    """A normalised picture: 8-bit sRGB, no metadata; `png` are its bytes."""

    width: int
    height: int
    png: bytes


def normalised(content: bytes, *, most_bytes: int, shortest_side: int) -> Picture:
    """The picture in an uploaded file. Raises Refused, with a code of its own for each kind of refusal."""
    if len(content) > most_bytes:
        raise Refused("image_too_large", f"the file has {len(content)} bytes: send at most {most_bytes}")
    source = _opened(content, _format(content))
    _judge(source, shortest_side)
    try:
        source.load()
        image = _flat(_srgb(_eight_bit(ImageOps.exif_transpose(source))))
    except MemoryError:  # not the file's end, but the process's limit
        raise
    except Exception as error:  # a decoder fed with garbage may raise anything
        raise _unreadable(error) from error
    rebuilt = Image.frombytes("RGB", image.size, image.tobytes())
    png = BytesIO()
    rebuilt.save(png, "PNG", compress_level=PNG_EFFORT)
    return Picture(*rebuilt.size, png.getvalue())


def _format(content: bytes) -> str:
    for name, signature in SIGNATURES.items():
        if content.startswith(signature) and (name != "WEBP" or content[8:12] == b"WEBP"):
            return name
    raise Refused("image_format_unsupported", "send a JPEG, PNG or WebP file: the first bytes are of none of them")


def _opened(content: bytes, name: str) -> Image.Image:
    try:
        return Image.open(BytesIO(content), formats=[name])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels() from error
    except MemoryError:  # see above
        raise
    except Exception as error:
        raise _unreadable(error) from error


def _judge(source: Image.Image, shortest_side: int) -> None:
    """Refuse by the header alone; nothing has been unpacked yet."""
    if source.width * source.height > MOST_PIXELS:
        raise _too_many_pixels()
    if min(source.size) < shortest_side or max(source.size) > LONGEST_SIDE:
        raise Refused(
            "image_sides_out_of_range",
            f"the picture is {source.width} x {source.height} pixels: "
            f"send one with sides of {shortest_side} to {LONGEST_SIDE}",
        )
    # A phone's MPO is a still: its further frames are thumbnails and depth maps.
    if getattr(source, "is_animated", False) and source.format != "MPO":
        raise Refused("image_animated", "the picture has several frames: send a still picture")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Palettes, single bits and 16-bit greys as 8-bit L, LA, RGB, RGBA or CMYK."""
    if image.mode.startswith("I"):
        # Pillow clips at 255 when it converts; 16-bit grey means the upper byte.
        wide = image.convert("I")
        return wide.point(lambda value: value * (1 / 257) + 0.5).convert("L")
    if "transparency" in image.info:
        return image.convert("RGBA")
    if image.mode == "P":
        return image.convert("RGB")
    return image.convert("L") if image.mode == "1" else image


def _srgb(image: Image.Image) -> Image.Image:
    """RGB or RGBA in the sRGB colour space. A profile that cannot be used is as good as none."""
    profile = image.info.get("icc_profile")
    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    colours = image.convert({"LA": "L", "RGBA": "RGB"}.get(image.mode, image.mode))
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            colours = ImageCms.profileToProfile(colours, source, target, outputMode="RGB") or colours
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass
    colours = colours.convert("RGB")
    if alpha is not None:
        colours.putalpha(alpha)
    return colours


def _flat(image: Image.Image) -> Image.Image:
    """Transparency on white."""
    if image.mode != "RGBA":
        return image
    ground = Image.new("RGBA", image.size, (*WHITE, 255))
    return Image.alpha_composite(ground, image).convert("RGB")


def _too_many_pixels() -> Refused:
    return Refused("image_too_many_pixels", f"send a picture with at most {MOST_PIXELS // 1_000_000} million pixels")


def _unreadable(error: Exception) -> Refused:
    return Refused("image_unreadable", f"the file ends early or is damaged: export it again ({error})")
