"""Verification: what an image file says of itself."""

from pathlib import Path

from lipe_client.call import Call, path_of
from lipe_client.models import Verification
from lipe_client.operations import operation


class Verifications:
    """The operation on image files that are not stored."""

    @operation
    def verify(self, file: Path | str | bytes) -> Call[Verification]:
        """Check the Content Credentials of an image file, given by its path or its bytes. It is not stored."""
        content = file if isinstance(file, bytes) else Path(file).read_bytes()
        options = {"content": content, "headers": {"Content-Type": "application/octet-stream"}}
        return Call("POST", path_of("verify"), Verification.model_validate_json, options)
