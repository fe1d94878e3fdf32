"""Request bodies that are an image file: as the body itself, or as the field `file` of a form."""

from collections.abc import Mapping
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile

from api import problems
from api.image_formats import NAMES
from api.image_sanitizer import MAX_SIDE

FORM, FILE = "multipart/form-data", "application/octet-stream"
"""Media types of requests. The file itself may have any type, as its content decides; client generators know FILE."""
IMAGE_FILE_PROBLEMS = (
    "image_too_large",
    "image_format_unsupported",
    "image_too_many_pixels",
    "image_sides_out_of_range",
    "image_animated",
    "image_unreadable",
    "image_too_complex",
)
"""Codes that every route that reads an image file may answer with."""
IMAGE_FILE = f"A {NAMES} file with sides of at most {MAX_SIDE} pixels."


def file_request_body(others: Mapping[str, Any]) -> dict[str, Any]:
    """The description of the body for OpenAPI, with those of `others`, by media type."""
    file = {"type": "string", "format": "binary", "description": IMAGE_FILE}
    form = {"type": "object", "required": ["file"], "properties": {"file": file}}
    return {
        "requestBody": {"required": True, "content": {FORM: {"schema": form}, **others, FILE: {"schema": file}}},
    }


async def read_file(request: Request) -> bytes:
    """The file's content. Raises Problem if a form has no such field."""
    if not request.headers.get("content-type", "").startswith(FORM):
        return await request.body()
    async with request.form(max_files=1, max_fields=1) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise problems.invalid("send the image in the form's field `file`", param="file")
        return await file.read()
