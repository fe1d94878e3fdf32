"""A person's way through the studio: from dropped files to the slider, on the real service and a real browser."""

import re
import shutil
from pathlib import Path

import httpx
from playwright.sync_api import Page, expect

from cli.embedded.up import Service
from lipe_client import Client
from tests.support.checkout import ROOT
from tests.support.studio import Visit

DRAWN = ROOT / "web" / "src" / "drawn"
RETURN_TO_TAB = "() => window.dispatchEvent(new Event('visibilitychange')) && document.querySelector('.sign-in')"
"""The page reads again what is old when a person returns to its tab. True once it asks for a key."""


def test_from_dropped_files_to_the_slider(studio: Visit, tmp_path: Path) -> None:
    page = studio.page
    page.get_by_role("link", name="New subject").click()
    shutil.copy(DRAWN / "reference-1.png", tmp_path / "again.png")
    (tmp_path / "no-image.png").write_text("words")
    studio.drop([*sorted(DRAWN.glob("reference-*.png")), tmp_path / "again.png", tmp_path / "no-image.png"])
    expect(page.get_by_text("Good: 128")).to_have_count(4)
    expect(page.get_by_text("The same image is here already.")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="no-image.png").get_by_role("alert")).to_be_visible()
    page.get_by_role("button", name="Remove again.png").click()
    page.get_by_role("button", name="Remove no-image.png").click()
    expect(page.get_by_text("Give the subject a name.")).to_be_visible()
    page.get_by_label("Name").fill("Benno")
    page.get_by_label("Class noun").fill("bear")
    assert studio.accessibility_violations() == []
    page.get_by_role("button", name="Create the subject").click()

    page.get_by_text("Advanced: all settings of the training").click()
    for number, steps in enumerate(("4", "2")):
        page.get_by_label("steps", exact=True).nth(number).fill(steps)
    page.get_by_label("count", exact=True).fill("2")
    page.get_by_label("Previews on the way").select_option("2")
    assert studio.accessibility_violations() == []
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_role("heading", name="Benno is learned")).to_be_visible()
    expect(page.get_by_role("img", name=re.compile(r"^Loss: .* after 4 of 4 steps"))).to_be_visible()
    shown = page.get_by_role("list").filter(has=page.get_by_role("heading", name="Step 4")).get_by_role("listitem")
    expect(shown).to_have_count(4)
    expect(shown.filter(has_text="In use")).to_contain_text("Step 4")
    expect(shown.filter(has_text="Recommended")).to_have_count(1)
    page.get_by_role("button", name="Use this one: step 2").press("Enter")
    expect(page.get_by_text("New edits use step 2.")).to_be_visible()
    expect(shown.filter(has_text="In use")).to_contain_text("Step 2")
    assert studio.accessibility_violations() == []
    page.get_by_role("link", name="Edit an image").click()

    studio.drop([DRAWN / "source.png"])
    page.get_by_role("button", name="jumping").click()
    page.get_by_label("Fast").check()
    assert studio.accessibility_violations() == []
    page.get_by_role("button", name="Edit", exact=True).click()
    slider = page.get_by_role("slider")
    expect(slider).to_have_value("50")
    slider.press("ArrowRight")
    expect(slider).to_have_value("51")
    expect(page.get_by_text("Pixels changed outside the mask").locator("xpath=following-sibling::dd")).to_have_text("0")
    assert studio.accessibility_violations() == []
    page.get_by_role("link", name="History").click()
    expect(page.get_by_role("link", name="a photo of sks bear jumping").first).to_be_visible()
    expect(page.get_by_text("Training of Benno")).to_be_visible()
    page.get_by_role("link", name="Service").click()
    expect(page.get_by_role("button", name="Revoke").first).to_be_visible()
    assert studio.accessibility_violations() == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert studio.accessibility_violations() == []
    assert [message for message in studio.refused if "415" not in message] == []  # the file that is no image


def test_a_job_is_followed_over_a_restart_of_the_api_and_can_be_canceled_and_retried(
    studio: Visit, service: Service
) -> None:
    page = studio.page
    with Client(service.url, service.key.token) as lipe:
        references = [lipe.upload_image(file) for file in sorted(DRAWN.glob("reference-*.png"))]
        subject = lipe.create_subject(name="Otto", class_noun="bear", references=references)
        options = {"steps": 20_000, "batch_size": 1, "preservation_batch_size": 0}
        job = lipe.train_prior(subject, previews=0, parameters=options, regularization={"count": 2, "steps": 2})
    page.goto(f"{service.url}/#/jobs/{job.id}")
    wait_for_step(page, after=0)
    api = service.programs["api"].child
    assert api is not None
    api.kill()
    expect(page.get_by_text("Connecting to live progress.")).to_be_visible()
    expect(page.get_by_text("Connecting to live progress.")).to_be_hidden()
    wait_for_step(page, after=wait_for_step(page, after=0))
    page.reload()
    wait_for_step(page, after=0)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Retry").click()
    expect(page).not_to_have_url(re.compile(job.id))
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Erase").click()
    page.get_by_role("dialog").get_by_role("button", name="Erase").click()
    expect(page.get_by_role("heading", name="History")).to_be_visible()


def test_captions_are_written_beside_the_references_and_corrected(studio: Visit, service: Service) -> None:
    page = studio.page
    with Client(service.url, service.key.token) as lipe:
        references = [lipe.upload_image(file) for file in sorted(DRAWN.glob("reference-*.png"))]
        captions = ["a photo of sks bear in the snow", *[None] * (len(references) - 1)]
        subject = lipe.create_subject(name="Ursa", class_noun="bear", references=references, captions=captions)
        page.goto(f"{service.url}/#/subjects/{subject.id}")
        page.get_by_role("button", name="Write the missing captions").click()
        expect(page.get_by_role("button", name="Write the missing captions")).to_be_hidden()
        texts = page.get_by_label("Caption")
        expect(texts.nth(0)).to_have_value("a photo of sks bear in the snow")
        expect(texts.nth(1)).to_have_value(re.compile("sks bear"))
        assert studio.accessibility_violations() == []
        texts.nth(1).fill("a photo of sks bear asleep")
        page.get_by_role("button", name="Save the caption").click()
        expect(page.get_by_role("button", name="Save the caption")).to_be_hidden()
        stored = [reference.caption for reference in lipe.subject(subject).references]
        assert stored[:2] == ["a photo of sks bear in the snow", "a photo of sks bear asleep"]
        assert all(caption and "sks bear" in caption for caption in stored)
    page.get_by_role("link", name="History").click()
    page.get_by_role("link", name="Captions of Ursa").click()
    expect(page.get_by_role("heading", name=re.compile("^Captions"))).to_be_visible()
    expect(page.get_by_text("sks bear").first).to_be_visible()


def test_a_revoked_key_loses_nothing_that_was_typed(page: Page, service: Service) -> None:
    admin = {"Authorization": f"Bearer {service.key.token}"}
    with httpx.Client(base_url=service.url, headers=admin) as http:
        key = http.post("/v1/keys", json={"name": "studio"}).raise_for_status().json()
        page.goto(f"{service.url}/#key={key['api_key']}")
        page.get_by_role("link", name="New subject").first.click()
        page.get_by_label("Name").fill("Typed before")
        http.delete(f"/v1/keys/{key['id']}").raise_for_status()
    page.wait_for_function(RETURN_TO_TAB, polling=500)
    expect(page.get_by_role("status").filter(has_text="The key is not valid any more")).to_be_visible()
    page.get_by_label("API key").fill(service.key.token)
    page.get_by_role("button", name="Open the studio").click()
    expect(page.get_by_label("Name")).to_have_value("Typed before")


def test_a_wrong_key_is_refused_in_words(page: Page, service: Service) -> None:
    page.goto(service.url)
    page.get_by_label("API key").fill("lipe_wrong")
    page.get_by_role("button", name="Open the studio").click()
    expect(page.get_by_label("API key")).to_have_attribute("aria-invalid", "true")
    expect(page.locator(".field-error")).to_contain_text("use another")


def wait_for_step(page: Page, *, after: int) -> int:
    """The step of the training that the page shows, once it is greater than `after`."""
    words = page.locator(".progress-words", has_text="Learning the subject").get_by_text(re.compile(r"\d+ of 20000"))
    page.wait_for_function(
        "after => Number(/(\\d+) of 20000/.exec(document.body.innerText)?.[1] ?? 0) > after", arg=after
    )
    return int(words.inner_text().split()[0])
