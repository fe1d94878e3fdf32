"""A canary in the logs of the whole suite: a test fails if a secret that was generated meanwhile is in its log.

The secrets are those of `secrets`: API keys, signing secrets of webhooks, passwords of the embedded servers. Standard
output is not a log: some commands print a new key there.
"""

import base64
import secrets
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

MIN_BYTES = 16
"""Shorter random values are identifiers."""
KEPT = 500
LOGS = ("Captured log", "Captured stderr")


class Canary:
    """Records the newest secrets of this process."""

    def __init__(self) -> None:
        self.secrets: deque[str] = deque(maxlen=KEPT)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Context manager that records what the module `secrets` generates."""
        with pytest.MonkeyPatch.context() as patch:
            for name in ("token_bytes", "token_hex", "token_urlsafe"):
                patch.setattr(secrets, name, self._recorded(getattr(secrets, name)))
            yield

    def found_in(self, text: str) -> list[str]:
        """The secrets that the text has."""
        return [secret for secret in self.secrets if secret in text]

    def check(self, report: pytest.TestReport) -> None:
        """Let the test fail if one of its logs has a secret."""
        text = "\n".join(content for title, content in report.sections if title.startswith(LOGS))
        if text and (found := self.found_in(text)):
            report.outcome = "failed"
            report.longrepr = f"the log has {len(found)} secrets, such as {found[0][:6]}..."

    def _recorded(self, generate: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(size: int | None = None) -> Any:
            value = generate(size)
            if size is None or size >= MIN_BYTES:
                self.secrets.append(base64.b64encode(value).decode() if isinstance(value, bytes) else value)
            return value

        return recorded
