"""The longest task of the browser in the studio's History with many jobs, and the time of its script and layout.

    python -m benchmarks.long_history --jobs 10004 --studio api/studio

The built studio runs in Chromium, on answers that are made here: only the page is measured. It loads all jobs, page by
page, as with "Show more", and then scrolls. The sums are seconds of the page's main thread, so that other programs of
the machine count little; the longest task is by the clock. Give another build by `--studio` to compare.
"""

import argparse
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import CDPSession, Page, Route, sync_playwright

from api import examples
from api.routes.studio import BUILT

PAGE_SIZE = 25
START = 1_780_000_000
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu")
MEASURES = ("TaskDuration", "ScriptDuration", "LayoutDuration", "RecalcStyleDuration")
WATCH = """() => { window.tasks = []; new PerformanceObserver((list) => window.tasks.push(
  ...list.getEntries().map((entry) => entry.duration))).observe({ type: 'longtask', buffered: true }); }"""


class Quiet(SimpleHTTPRequestHandler):
    """A server of files that logs nothing."""

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


def main() -> None:
    """Print the measures of loading, of one more page, and of scrolling."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_004)
    parser.add_argument("--studio", type=Path, default=BUILT, help="a built studio")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with serving(arguments.studio) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=[*OPTIONS])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(600_000)
        page.route("**/v1/**", partial(answer, arguments.jobs))
        page.add_init_script(f"({WATCH})()")
        page.goto(f"{url}/#key=lipe_{'0' * 16}_{'0' * 32}")
        page.get_by_role("heading", name="Subjects").wait_for()
        page.goto(f"{url}/#/history")
        devtools = page.context.new_cdp_session(page)
        devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
        pages = -(-arguments.jobs // PAGE_SIZE)
        measure(page, devtools, "all pages but one", lambda: load(page, 1, pages - 1))
        measure(page, devtools, "the last page", lambda: load(page, pages - 1, pages))
        measure(page, devtools, "scrolling to the top", lambda: scroll(page))
        print(f"elements in the page: {page.evaluate('document.querySelectorAll(`*`).length')}")
        browser.close()


def measure(page: Page, devtools: CDPSession, name: str, act: Any) -> None:
    """Print the seconds of the page's thread while `act` runs, and its longest task."""
    page.evaluate("window.tasks.length = 0")
    before = metrics(devtools)
    act()
    after = metrics(devtools)
    spent = ", ".join(f"{key.removesuffix('Duration').lower()} {after[key] - before[key]:.2f} s" for key in MEASURES)
    print(f"{name}: {spent}, longest task {max([0.0, *page.evaluate('window.tasks')]):.0f} ms")


def metrics(devtools: CDPSession) -> dict[str, float]:
    """The counters of the page's main thread."""
    return {one["name"]: one["value"] for one in devtools.send("Performance.getMetrics")["metrics"]}


def load(page: Page, first: int, last: int) -> None:
    """Show more, from this number of pages to that one."""
    more = page.get_by_role("button", name="Show more")
    page.locator(".row").first.wait_for()
    for shown in range(first, last):
        cursor = f"cursor={shown * PAGE_SIZE}"
        with page.expect_response(lambda response, cursor=cursor: response.url.endswith(cursor)):  # type: ignore[misc]
            more.click()
    page.evaluate("new Promise((done) => setTimeout(done, 500))")


def scroll(page: Page) -> None:
    """Go through the list in 40 steps."""
    for step in range(40, -1, -1):
        page.evaluate(f"window.scrollTo(0, document.documentElement.scrollHeight * {step / 40})")
        time.sleep(0.1)


def answer(count: int, route: Route) -> None:
    """Answer a request of the page as a service with so many jobs does."""
    path, query = urlsplit(route.request.url).path, parse_qs(urlsplit(route.request.url).query)
    if path == "/v1/jobs":
        first = int(query.get("cursor", ["0"])[0])
        rows = [job(count, number) for number in range(first, min(count, first + PAGE_SIZE))]
        left = first + PAGE_SIZE < count
        body: Any = {"data": rows, "has_more": left, "next_cursor": str(first + PAGE_SIZE) if left else None}
    elif path == "/v1/edits":
        body = {"data": [edit(count, number) for number in range(100)], "has_more": False, "next_cursor": None}
    elif path in {"/v1/subjects", "/v1/models", "/v1/images"}:
        body = {"data": [], "has_more": False, "next_cursor": None}
    else:
        operation = {"/v1/key": "get_key", "/v1/usage": "get_usage"}.get(
            path, "get_subject" if "/subjects/" in path else "get_edit"
        )
        body = examples.RESPONSES[operation]
    route.fulfill(body=json.dumps(body), content_type="application/json")


def job(count: int, number: int) -> dict[str, Any]:
    """The job of this number, 0 is the newest; a tenth are trainings."""
    example = examples.RESPONSES["list_jobs"]["data"][0]
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(START + 60 * (count - number)))
    kind = "prior" if number % 10 == 9 else "edit"
    changed = {"id": f"job_{number}", "kind": kind, "edit_id": f"edt_{number}", "status": "succeeded", "waiting": None}
    return {**example, **changed, "created_at": moment}


def edit(count: int, number: int) -> dict[str, Any]:
    """An edit with a prompt of its own."""
    example = examples.RESPONSES["list_edits"]["data"][0]
    return {**example, "id": f"edt_{number}", "target_prompts": [f"a photo of sks dog, number {number} of {count}"]}


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of a server of these files."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


if __name__ == "__main__":
    main()
