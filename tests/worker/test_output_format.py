"""The lossless formats keep every pixel, and the quality of the others decides their size."""

import io

import pytest
from PIL import Image

from worker.output_format import OutputFormat


@pytest.mark.parametrize("parameters", [{}, {"output_format": "png"}, {"output_format": "webp"}])
def test_a_format_without_a_quality_keeps_every_pixel(parameters: dict[str, object]) -> None:
    output_format = OutputFormat.of_job(parameters)
    assert decoded(output_format) == noise().tobytes()
    assert output_format.quality is None


@pytest.mark.parametrize("name", ["jpeg", "webp"])
def test_a_lower_quality_makes_a_smaller_file(name: str) -> None:
    low, high = (OutputFormat.of_job({"output_format": name, "output_quality": quality}) for quality in (20, 95))
    assert len(low.encode(noise())) < len(high.encode(noise())) < len(OutputFormat().encode(noise()))
    assert decoded(high) != noise().tobytes()


def test_jpeg_has_a_quality_by_default() -> None:
    assert OutputFormat.of_job({"output_format": "jpeg"}) == OutputFormat("jpeg", 90)
    assert OutputFormat.of_job({"output_format": "jpeg", "output_quality": 55}).quality == 55


@pytest.mark.parametrize(
    ("name", "suffix", "content_type"),
    [("png", "png", "image/png"), ("jpeg", "jpg", "image/jpeg"), ("webp", "webp", "image/webp")],
)
def test_name_and_type_are_those_of_the_bytes(name: str, suffix: str, content_type: str) -> None:
    output_format = OutputFormat(name, 50)
    assert (output_format.suffix, output_format.content_type) == (suffix, content_type)
    assert Image.open(io.BytesIO(output_format.encode(noise()))).format == name.upper()


def noise() -> Image.Image:
    return Image.merge("RGB", [Image.radial_gradient("L"), Image.linear_gradient("L"), Image.linear_gradient("L")])


def decoded(output_format: OutputFormat) -> bytes:
    return Image.open(io.BytesIO(output_format.encode(noise()))).convert("RGB").tobytes()
