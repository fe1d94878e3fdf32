"""A blind study by three raters: two in the browser of the owner, and one with a file and without a key."""

import csv
import json
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from cli.embedded.up import Service
from lipe_client import Client, Job
from tests.support.studio import Visit


def test_three_raters_compare_two_presets_without_knowing_them(
    studio: Visit, service: Service, edited: Job, browser: Browser, tmp_path: Path
) -> None:
    page = studio.page
    with Client(service.url, service.key.token) as lipe:
        first = lipe.get_edit(edited)
        seed = first.results[0].seed
        prompt = first.target_prompts[0]
        lipe.wait(lipe.edit(prior=first.prior_id, image=first.image_id, prompt=prompt, seed=seed, preset="balanced"))
    page.get_by_role("link", name="Study", exact=True).click()
    page.get_by_label("Name").fill("Presets")
    for preset in ("fast", "balanced"):
        page.get_by_role("checkbox", name=f"NIMA · {preset} · seed {seed}").first.check()
    assert studio.accessibility_violations() == []
    page.get_by_role("button", name="Make the study").click()
    expect(page.get_by_text("1 question")).to_be_visible()

    for rater in ("Ada", "Bob"):
        page.get_by_role("button", name="Judge here").click()
        judge(page, rater, "ArrowLeft")
        page.get_by_role("link", name="To the study").click()
    with page.expect_download() as study_file:
        page.get_by_role("button", name="Download for raters").click()
    study_file.value.save_as(tmp_path / "study.json")
    assert "NIMA" not in (tmp_path / "study.json").read_text()  # no system is named
    with browser.new_context(viewport={"width": 390, "height": 844}) as context:
        stranger = context.new_page()
        stranger.goto(f"{service.url}/#/rate")
        stranger.locator("input[type=file]").set_input_files(tmp_path / "study.json")
        with stranger.expect_download() as ratings_file:
            judge(stranger, "Eve", "ArrowDown")
            stranger.get_by_role("button", name="Download the ratings").click()
        ratings_file.value.save_as(tmp_path / "eve.json")
        assert stranger.evaluate("sessionStorage.length") == 0

    wrong = json.loads((tmp_path / "eve.json").read_text()) | {"study": "another"}
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    page.locator("input[type=file]").set_input_files([tmp_path / "eve.json", tmp_path / "wrong.json"])
    expect(page.get_by_role("alert")).to_have_text("wrong.json: These ratings belong to another study.")
    expect(page.get_by_role("rowheader", name="Eve")).to_be_visible()
    expect(page.get_by_text("Agreement of the raters")).to_be_visible()
    assert studio.accessibility_violations() == []
    with page.expect_download() as table_file:
        page.get_by_role("button", name="Export as CSV").click()
    table_file.value.save_as(tmp_path / "table.csv")
    rows = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))
    assert [(row["rater"], row["answer"]) for row in rows] == [
        ("Ada", "preferred"), ("Bob", "preferred"), ("Eve", "tie"),
    ]  # fmt: skip
    assert {row["left_system"] for row in rows} | {row["right_system"] for row in rows} == {
        "NIMA · fast", "NIMA · balanced",
    }  # fmt: skip
    assert all(row["preferred_system"] == row["left_system"] for row in rows[:2])


def judge(page: Page, rater: str, key: str) -> None:
    """Answer the only question of the study by a key."""
    page.get_by_label("Your name").fill(rater)
    page.get_by_role("button", name="Begin").click()
    expect(page.get_by_role("img", name="The left image")).to_be_visible()
    page.keyboard.press(key)
    expect(page.get_by_role("heading", name=f"Thank you, {rater}")).to_be_visible()
