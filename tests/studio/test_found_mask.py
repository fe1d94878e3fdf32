"""The subject's mask over an image before the edit: found, corrected by hand and by clicks, and sent only if wanted."""

import io
import json
import re
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from PIL import Image as Images
from playwright.sync_api import Page, Route, expect

from cli.embedded.up import Service
from lipe_client import Client, Image, Job
from tests.studio.conftest import DRAWN
from tests.support.studio import Visit

PERCENT = re.compile(r"^\d+ % of the image may change")


@pytest.fixture
def source(studio: Visit, service: Service, edited: Job) -> Iterator[Image]:
    """A new image of the learned subject, and the form of an edit of it."""
    with Client(service.url, service.key.token) as lipe:
        image = lipe.upload_image(DRAWN / "source.png")
        studio.page.goto(f"{service.url}/#/edit?subject={edited.subject_id}&image={image.id}")
        yield image


def test_a_person_sees_the_mask_before_the_edit_and_sends_none_if_it_is_right(
    studio: Visit, service: Service, source: Image
) -> None:
    page = studio.page
    expect(page.get_by_text(re.compile(r"^Bright: Mira, \d+ % of the image"))).to_be_visible()
    expect(page.get_by_role("img", name="To edit, with the subject marked")).to_be_visible()
    assert studio.accessibility_violations() == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.reload()  # it is not looked for again
    expect(page.get_by_text("Bright: Mira")).to_be_visible()
    with Client(service.url, service.key.token) as lipe:
        masks = [job for job in lipe.jobs(kind="mask") if job.parameters["image_id"] == source.id]
    assert [job.status for job in masks] == ["succeeded"]
    assert "mask_image_id" not in sent_edit(page)
    cancel_newest(service)


def test_a_corrected_mask_is_sent_as_a_drawn_one(studio: Visit, service: Service, source: Image) -> None:
    page = studio.page
    page.get_by_role("button", name="Correct this mask").click()
    undo, words = page.get_by_role("button", name="Undo"), page.get_by_text(PERCENT)
    roomy = words.inner_text()
    undo.click()
    found = words.inner_text()
    assert percent(found) < percent(roomy)
    page.get_by_role("button", name="Grow").click()
    expect(words).not_to_have_text(found)
    undo.click()
    expect(words).to_have_text(found)
    page.get_by_role("radio", name="Click").check()
    stage = page.get_by_role("application")
    box = stage.bounding_box()
    assert box is not None
    sky = box["x"] + box["width"] * 0.05, box["y"] + box["height"] * 0.05
    page.mouse.click(*sky)
    expect(words).not_to_have_text(found)
    assert percent(words.inner_text()) > percent(found) + 20  # all of the sky, at once
    page.mouse.click(*sky)
    expect(words).to_have_text(re.compile(rf"^(?:{'|'.join(str(percent(found) + k) for k in (-1, 0, 1))}) %"))
    stage.press("c")
    stage.press("Space")  # the keyboard clicks where the tool is
    expect(words).to_have_text(re.compile(rf"^(?!{percent(found)} %)"))
    stage.press("Control+z")
    assert studio.accessibility_violations() == []
    with Client(service.url, service.key.token) as lipe:
        mask_id = str(sent_edit(page)["mask_image_id"])
        cancel_newest(service)
        job = next(job for job in lipe.jobs(kind="mask") if job.parameters["image_id"] == source.id)
        file = lipe.mask(job).mask
        assert file is not None
        sent, first = read(lipe.image(mask_id).url or ""), read(file.url)
    assert sent.shape == first.shape == (source.height, source.width)
    assert (sent == first).mean() > 0.97


def test_without_a_worker_or_a_mask_the_person_draws(studio: Visit, service: Service, source: Image) -> None:
    page = studio.page
    no_models = {"data": [], "has_more": False, "next_cursor": None}
    page.route("**/v1/models", lambda route: route.fulfill(json=no_models))
    page.reload()
    expect(page.get_by_text("No worker runs that could look for it now.")).to_be_visible()
    assert studio.accessibility_violations() == []
    page.get_by_role("radio", name="I draw it").check()
    expect(page.get_by_text("Draw over what may change: the subject")).to_be_visible()
    page.unroute("**/v1/models")

    def fail(route: Route) -> None:
        answer = route.fetch()
        error = {"code": "gpu_out_of_memory", "detail": "The image is too large for the memory of the GPU."}
        route.fulfill(response=answer, json=answer.json() | {"status": "failed", "error": error})

    page.route("**/v1/jobs/job_*", fail)
    page.reload()
    expect(page.get_by_text("The image is too large for the memory of the GPU.")).to_be_visible()
    expect(page.get_by_role("button", name="Look again")).to_be_visible()


def test_an_image_that_is_asked_for_too_often_comes_later_and_is_not_called_deleted(
    studio: Visit, source: Image
) -> None:
    page, image = studio.page, f"**/v1/images/{source.id}"

    def refuse(route: Route) -> None:
        route.fulfill(status=429, json={"code": "too_many_requests", "status": 429, "title": "", "detail": ""})

    page.route(image, refuse, times=1)
    page.reload()
    expect(page.get_by_role("img", name="To edit, with the subject marked")).to_be_visible()
    page.route(image, refuse)
    page.reload()
    expect(page.get_by_text("The image does not load now").first).to_be_visible()


def test_the_results_of_a_set_appear_one_by_one(studio: Visit, service: Service, edited: Job) -> None:
    with Client(service.url, service.key.token) as lipe:
        image = lipe.get_edit(edited).image_id
        prompts = ["a photo of sks bear jumping", "a photo of sks bear sitting"]
        job = lipe.wait(lipe.edit(subject=edited.subject_id, image=image, prompts=prompts, preset="fast"))
    page, is_held = studio.page, True
    page.goto(f"{service.url}/#/edit?from={job.edit_id}")
    expect(page.get_by_text(re.compile(r"^Takes about .* of work for 2 images\."))).to_be_visible()

    def hold_state(route: Route) -> None:
        body = route.fetch().json()
        route.fulfill(json=body | {"status": "running"} if is_held else body)

    def hold_results(route: Route) -> None:
        body = route.fetch().json()
        route.fulfill(json=body | {"results": body["results"][:1]} if is_held else body)

    page.route(f"**/v1/jobs/{job.id}", hold_state)
    page.route(f"**/v1/jobs/{job.id}/events", lambda route: route.abort())
    page.route(f"**/v1/edits/{job.edit_id}", hold_results)
    page.goto(f"{service.url}/#/jobs/{job.id}")
    page.reload()  # without what the page has read before
    expect(page.get_by_text("1 of 2 results are here. The others follow.")).to_be_visible()
    expect(page.get_by_role("slider")).to_have_count(1)
    is_held = False
    expect(page.get_by_role("slider")).to_have_count(2)
    expect(page.get_by_text("results are here")).to_be_hidden()


def sent_edit(page: Page) -> dict[str, object]:
    """Start the edit, and return the body of its request."""
    page.get_by_role("button", name="jumping").click()
    page.get_by_label("Fast").check()
    with page.expect_request(lambda request: request.method == "POST" and request.url.endswith("/v1/edits")) as sent:
        page.get_by_role("button", name="Edit", exact=True).click()
    page.get_by_role("heading", name=re.compile("^Edit")).wait_for()
    body: dict[str, object] = json.loads(sent.value.post_data or "{}")
    return body


def cancel_newest(service: Service) -> None:
    """Cancel the newest edit: its result does not matter."""
    with Client(service.url, service.key.token) as lipe:
        lipe.cancel(next(iter(lipe.jobs(kind="edit"))))


def percent(words: str) -> int:
    """The share of the image in a line such as "21 % of the image may change"."""
    return int(words.split()[0])


def read(url: str) -> np.ndarray:
    """The pixels of a mask that are white."""
    content = httpx.get(url).raise_for_status().content
    return np.asarray(Images.open(io.BytesIO(content)).convert("L")) > 127
