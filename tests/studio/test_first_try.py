"""The first minutes of a person without images of their own, and of one with photos on the miniature."""

import json
import re

from playwright.sync_api import Page, Route, expect

from cli.embedded.up import Service
from lipe_client import Client
from tests.studio.conftest import DRAWN
from tests.support.checkout import ROOT
from tests.support.studio import Visit

SHORT = {"parameters": {"steps": 2, "batch_size": 1}, "regularization": {"count": 2, "steps": 2}, "previews": 0}
PHOTO = ROOT / "tests" / "support" / "photos" / "chelsea.jpg"


def test_one_click_teaches_the_drawn_bear_and_shows_a_first_edit(studio: Visit) -> None:
    page = studio.page
    page.route(re.compile(r"/v1/subjects/\w+/priors$"), shortened)
    page.get_by_role("button", name="Try it with a drawn bear").click()
    expect(page.get_by_text("Your first edit")).to_be_visible()
    expect(page.get_by_role("slider")).to_have_value("50")
    expect(page.get_by_role("heading", name="a photo of sks bear jumping")).to_be_visible()
    expect(page.get_by_text("Pixels changed outside the mask").locator("xpath=following-sibling::dd")).to_have_text("0")
    page.get_by_label("Hold", exact=True).check()
    hold = page.get_by_role("button", name="Hold to see it before the edit")
    before = page.get_by_role("img", name="Before the edit")
    expect(before).to_be_hidden()
    hold.focus()
    page.keyboard.down("Space")
    expect(before).to_be_visible()
    page.keyboard.up("Space")
    expect(before).to_be_hidden()
    assert studio.accessibility_violations() == []


def shortened(route: Route) -> None:
    """Send the training of the click with two steps."""
    body = json.loads(route.request.post_data or "{}") | SHORT
    route.continue_(post_data=json.dumps(body))


def test_a_training_with_photos_on_the_miniature_is_preceded_by_a_warning(studio: Visit, service: Service) -> None:
    page = studio.page
    with Client(service.url, service.key.token) as lipe:
        for name, files in (("Chelsea", [PHOTO]), ("Ottilie", sorted(DRAWN.glob("reference-*.png"))[:1])):
            images = [lipe.upload_image(files[0]) for _ in range(3)]
            subject = lipe.create_subject(name=name, class_noun="cat", references=images)
            open_subject(page, service, subject.id)
            warning = page.get_by_role("status").filter(has_text="These look like photos")
            if name == "Chelsea":
                expect(warning).to_be_visible()
                expect(page.get_by_role("button", name="Start training anyway")).to_be_enabled()
                assert studio.accessibility_violations() == []
            else:
                expect(page.get_by_role("button", name="Start training", exact=True)).to_be_enabled()
                page.wait_for_load_state("networkidle")  # the page has judged the images
                expect(warning).to_be_hidden()


def open_subject(page: Page, service: Service, subject_id: str) -> None:
    page.goto(f"{service.url}/#/subjects/{subject_id}")
    expect(page.get_by_role("heading", name="References")).to_be_visible()
