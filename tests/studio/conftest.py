"""Fixtures: `lipe up` with the miniature, and a browser that opens its studio."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from api.routes.studio import BUILT
from cli.embedded.up import Service, embedded_service
from lipe_client import Client, Job
from tests.support.checkout import ROOT
from tests.support.studio import Visit, visit

DRAWN = ROOT / "web" / "src" / "drawn"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="session")
def chromium() -> str:
    """The program of the system's Chromium, for a studio that is built."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    if not (BUILT / "index.html").is_file():
        pytest.skip("the studio is not built: make studio")
    return CHROMIUM


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """A browser. Playwright keeps an event loop running, so that it must end before the next file of tests."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=[*OPTIONS])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def service(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The whole service with the packaged miniature."""
    environment = {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    with embedded_service(tmp_path_factory.mktemp("studio") / "data", environment=environment) as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a new browser window, 1280 pixels wide. Colours change at once, so that contrasts can be measured."""
    with browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce") as context:
        yield context.new_page()


@pytest.fixture
def studio(page: Page, service: Service) -> Iterator[Visit]:
    """The page, opened as `lipe up` prints its address. At the end: nothing was refused or sent elsewhere."""
    with visit(page, service.url, service.key.token) as opened:
        yield opened


@pytest.fixture(scope="session")
def edited(service: Service) -> Job:
    """A subject that is learned in two steps, and one edit of it."""
    with Client(service.url, service.key.token) as lipe:
        references = [lipe.upload_image(file) for file in sorted(DRAWN.glob("reference-*.png"))]
        subject = lipe.create_subject(name="Mira", class_noun="bear", references=references)
        trained = lipe.train_prior(
            subject, previews=0, parameters={"steps": 2, "batch_size": 1}, regularization={"count": 2, "steps": 2}
        )
        lipe.wait(trained)
        image = lipe.upload_image(DRAWN / "source.png")
        return lipe.wait(
            lipe.edit(prior=trained.prior_id, image=image, prompt="a photo of sks bear jumping", preset="fast")
        )
