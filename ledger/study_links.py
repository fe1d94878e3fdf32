"""What a rater's link gives access to: the token of a study, and the signed paths of its images.

Both are HMACs with a key that only the service has. So no token is stored, the owner can see the link again, and a
token proves that its study existed, also after the study was erased.
"""

import hashlib
import hmac
import re
import time
from dataclasses import dataclass

from ledger.settings import Settings

TOKEN = re.compile(r"(sty_[0-9a-f]{32})_([0-9a-f]{40})")
PURPOSE = b"lipe study links 1"
DIGITS = 40
IMAGES = "ratings/images"
"""The path of images, below that of the API's version. A browser that shows one sends no header."""


class InvalidImage(Exception):
    """The signature does not match, or the path has expired; the message says which."""


@dataclass(frozen=True)
class StudyLinks:
    """Makes and checks tokens and image paths."""

    settings: Settings

    def token(self, study_id: str) -> str:
        """The token of a study's link."""
        return f"{study_id}_{self._sign(f'token {study_id}')}"

    def study_of(self, token: str) -> str | None:
        """The id of the study whose token this is, or None."""
        found = TOKEN.fullmatch(token)
        if found is None or not hmac.compare_digest(token, self.token(found[1])):
            return None
        return found[1]

    def plan_key(self, study_id: str, digest: bytes) -> bytes:
        """The key from which a rater's order and sides follow. No rater can compute it."""
        return bytes.fromhex(self._sign(f"plan {study_id} {digest.hex()}"))

    def image(self, image_id: str) -> str:
        """The path of an image, which opens it for a short time and says nothing about it.

        Within one lifetime it stays the same, so that the browser keeps the image.
        """
        seconds = self.settings.signed_url_seconds
        expires = (int(time.time()) // seconds + 2) * seconds
        return f"{IMAGES}/{image_id}?expires={expires}&signature={self._sign(f'image {image_id} {expires}')}"

    def check_image(self, image_id: str, expires: int, signature: str) -> None:
        """Raise InvalidImage unless `image` made this path and it is still valid."""
        expected = self._sign(f"image {image_id} {expires}")
        if not hmac.compare_digest(signature.encode(), expected.encode()):
            raise InvalidImage("the signature does not match: use the path exactly as the API gave it")
        if expires < time.time():
            raise InvalidImage("the path has expired: ask for the next question again")

    def _sign(self, message: str) -> str:
        key = hmac.digest(self.settings.key_pepper.get_secret_value().encode(), PURPOSE, hashlib.sha256)
        return hmac.new(key, message.encode(), hashlib.sha256).hexdigest()[:DIGITS]
