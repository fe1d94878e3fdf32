"""A mask that a person draws over the image bounds the edit, and edits are compared beside each other."""

import io
import re

import httpx
import numpy as np
from PIL import Image
from playwright.sync_api import expect

from cli.embedded.up import Service
from lipe_client import Client, Edit, Job
from tests.support.studio import Visit


def test_a_drawn_mask_bounds_the_edit_and_two_presets_are_compared(
    studio: Visit, service: Service, edited: Job
) -> None:
    page = studio.page
    page.goto(f"{service.url}/#/edit?from={edited.edit_id}&mask=found")
    stage = page.get_by_role("application")
    expect(page.get_by_text("% of the image may change")).to_be_visible()  # the mask that the edit has found
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_text("Draw over what may change, or let LIPE find it.")).to_be_visible()
    box = stage.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.5, steps=5)
    page.mouse.up()
    drawn = page.get_by_text(re.compile(r"^\d+ % of the image may change")).inner_text()
    stage.focus()
    for key in ("]", "ArrowDown", "Space"):  # the keyboard draws, too
        stage.press(key)
    expect(page.get_by_text(drawn)).to_be_hidden()
    stage.press("Control+z")
    expect(page.get_by_text(drawn)).to_be_visible()
    stage.press("Control+Shift+z")
    assert studio.accessibility_violations() == []

    page.get_by_text("Compare with other presets or methods").click()
    page.get_by_role("button", name="Balanced", exact=True).click()
    page.get_by_role("button", name="Edit 2 times").click()
    results = page.get_by_role("img", name="Result: a photo of sks bear jumping")
    expect(results).to_have_count(2)
    page.get_by_role("button", name="Larger").click()
    zooms = page.locator(".zoomed").evaluate_all("all => all.map((one) => getComputedStyle(one).transform)")
    assert len(set(zooms)) == 1
    assert "1.5" in zooms[0]
    assert studio.accessibility_violations() == []
    with Client(service.url, service.key.token) as lipe:
        jobs = [lipe.job(job_id) for job_id in page.url.split("jobs=")[1].split(",")]
        edits = [lipe.get_edit(job) for job in jobs]
    assert len({edit.results[0].seed for edit in edits}) == 1
    presets = [job.parameters.get("choices", {}).get("preset", "balanced") for job in jobs]
    assert presets == ["fast", "balanced"]
    for edit in edits:
        assert 0 < changed_pixels(service, edit) < 128 * 128 / 4


def changed_pixels(service: Service, edit: Edit) -> int:
    """The number of pixels that the edit has changed. Raises AssertionError if one of them is outside the mask."""
    with Client(service.url, service.key.token) as lipe:
        urls = [lipe.image(edit.image_id).url, edit.results[0].image.url, lipe.image(edit.mask_image_id or "").url]
    contents = [httpx.get(url or "").raise_for_status().content for url in urls]
    source, result, mask = (np.asarray(Image.open(io.BytesIO(content)).convert("RGB")) for content in contents)
    changed = (source != result).any(axis=-1)
    assert not changed[(mask == 0).all(axis=-1)].any()
    return int(changed.sum())


def test_an_older_subject_than_those_of_the_first_page_can_be_chosen(
    studio: Visit, service: Service, edited: Job
) -> None:
    page = studio.page
    with Client(service.url, service.key.token) as lipe:
        oldest = lipe.subject(edited.subject_id or "")
        references = [reference.image_id for reference in oldest.references]
        others = [
            lipe.create_subject(name=f"Bear {number}", class_noun="bear", references=references) for number in range(24)
        ]
        try:
            page.goto(f"{service.url}/#/edit")
            page.reload()  # the page knew one subject, and has chosen it
            choice = page.get_by_label("Subject", exact=True)
            expect(choice.get_by_role("option", name="Bear 0")).to_be_attached()
            expect(choice.get_by_role("option", name=oldest.name)).not_to_be_attached()
            page.get_by_role("button", name="Offer older subjects").click()
            expect(choice.get_by_role("option", name=oldest.name)).to_be_attached()
            page.goto(f"{service.url}/#/edit?from={edited.edit_id}")  # a link chooses it without the older pages
            expect(choice).to_have_value(oldest.id)
        finally:
            for subject in others:
                lipe.delete_subject(subject)
