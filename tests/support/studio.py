"""A visit to the studio in a browser, with checks that hold on every screen."""

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import ConsoleMessage, Page, expect

from tests.support.checkout import ROOT

AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
PATIENCE_MS = 120_000
DROP = """([zone, files]) => {
  const transfer = new DataTransfer();
  for (const [name, content] of files) {
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    transfer.items.add(new File([bytes], name, { type: 'image/png' }));
  }
  zone.dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""


@dataclass
class Visit:
    """A page of the studio. `refused` has the messages of the browser's console that are errors."""

    page: Page
    url: str
    requests: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def note(self, message: ConsoleMessage) -> None:
        """Keep an error, for example a violation of the Content-Security-Policy."""
        if message.type == "error":
            self.refused.append(message.text)

    def drop(self, files: Sequence[Path]) -> None:
        """Drop files on the place for them."""
        zone = self.page.locator(".drop-zone").element_handle()
        contents = [[file.name, base64.b64encode(file.read_bytes()).decode()] for file in files]
        self.page.evaluate(DROP, [zone, contents])

    def accessibility_violations(self) -> list[str]:
        """The rules of axe that this screen breaks. Without axe the test is skipped."""
        if not AXE.is_file():
            pytest.skip("axe-core is missing: make studio")
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("axe.run()")["violations"]
        return [f"{rule['id']}: {json.dumps([node['html'] for node in rule['nodes']])}" for rule in found]


@contextmanager
def visit(page: Page, url: str, key: str) -> Iterator[Visit]:
    """Open the studio with a key in the fragment. In the end, no request went to another server or had the key."""
    opened = Visit(page, url)
    page.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    page.on("request", lambda request: opened.requests.append(request.url))
    page.on("console", opened.note)
    page.on("pageerror", lambda error: opened.refused.append(str(error)))
    page.goto(f"{url}/#key={key}")
    page.get_by_role("heading", name="Subjects").wait_for()
    assert key not in page.url
    yield opened
    assert [sent for sent in opened.requests if not sent.startswith((f"{url}/", f"blob:{url}/")) or key in sent] == []
