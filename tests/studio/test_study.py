"""A blind study: three raters answer by its link, without a key, and the owner closes it and reads the results."""

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect

from cli.embedded.up import Service
from lipe_client import Client, Job
from tests.support.studio import AXE, PATIENCE_MS, Visit

QUESTIONS = 6
"""Of each rater: three about the one pair, one again, and two attention checks."""
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


def test_three_raters_compare_two_presets_without_knowing_them(
    studio: Visit, service: Service, edited: Job, browser: Browser, tmp_path: Path
) -> None:
    page = studio.page
    seed = second_edit(service, edited)
    page.get_by_role("link", name="Study", exact=True).click()
    page.get_by_label("Name").fill("Which bear")
    for preset in ("fast", "balanced"):
        page.get_by_role("checkbox", name=f"NIMA · {preset} · seed {seed}").first.check()
    page.get_by_text("Length, checks and rules").click()
    page.get_by_label("Less time for an answer").fill("0")  # the raters of this test are fast
    assert studio.accessibility_violations() == []
    page.get_by_role("button", name="Make the study").click()
    expect(page.get_by_text("0 raters of at most 50")).to_be_visible()
    assert studio.accessibility_violations() == []
    link = page.get_by_role("link", name="#/rate/").inner_text()

    with rater(browser, link, PHONE) as ada:
        begin(ada)
        assert ada.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert violations(ada) == []
        assert "NIMA" not in ada.content()
        finish(ada, carefully("1"))
        assert ada.evaluate("sessionStorage.length") == 0
        ada.reload()  # the link again, in the same browser
        expect(ada.get_by_role("heading", name="Thank you")).to_be_visible()
    with rater(browser, link, DESKTOP) as bob:
        begin(bob)
        finish(bob, carefully("ArrowRight"))
    with rater(browser, link, DESKTOP) as eve:
        begin(eve)
        answer_offline(eve)
        finish(eve, lambda page: "1")  # she also prefers one of two equal images

    expect(page.get_by_text("3 raters of at most 50 have begun, 3 have finished.")).to_be_visible()
    page.get_by_role("button", name="Close the study").click()
    page.get_by_role("dialog").get_by_role("button", name="Close the study").click()
    for question in ("Identity", "Background", "Satisfaction"):
        expect(page.get_by_role("heading", name=question)).to_be_visible()
    expect(page.get_by_role("cell", name="no: failed attention checks")).to_be_visible()
    assert page.get_by_role("cell", name="yes").count() == 2
    assert studio.accessibility_violations() == []
    with page.expect_download() as table_file:
        page.get_by_role("button", name="Download all answers as CSV").click()
    table_file.value.save_as(tmp_path / "table.csv")
    rows = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))
    assert len(rows) == 3 * QUESTIONS
    assert {row["left_system"] for row in rows} == {"NIMA · fast", "NIMA · balanced"}
    assert {row["excluded"] for row in rows if row["rater"] == "3"} == {"max_failed_checks"}
    assert all(row["answer"] == "tie" for row in rows if row["kind"] == "check" and row["rater"] != "3")

    with rater(browser, link, PHONE) as late:
        expect(late.get_by_role("heading", name="This study is closed")).to_be_visible()
        assert violations(late) == []
    with rater(browser, link[:-1], PHONE) as lost:
        expect(lost.get_by_role("heading", name="This link is not whole")).to_be_visible()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Studies")).to_be_visible()
    with rater(browser, link, PHONE) as late:
        expect(late.get_by_role("heading", name="This study was deleted")).to_be_visible()


def test_a_folder_of_images_becomes_a_study(
    studio: Visit, service: Service, edited: Job, browser: Browser, tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    for system, colour in (("ours", "red"), ("theirs", "green"), ("source", "white")):
        (folder / system).mkdir(parents=True)
        Image.new("RGB", (96, 96), colour).save(folder / system / "a_bear_jumping.png")
    page = studio.page
    page.get_by_role("link", name="Study", exact=True).click()
    page.get_by_label("Name").fill("Folders")
    page.get_by_label("Identity").uncheck()
    page.get_by_role("radio", name="A folder of images").check()
    page.get_by_label("Folder", exact=True).set_input_files(folder / "ours")
    expect(page.get_by_text("a folder with images for each system")).to_be_visible()
    page.get_by_label("Folder", exact=True).set_input_files(folder)
    expect(page.get_by_text("1 case of ours, theirs")).to_be_visible()
    (folder / "theirs" / "a_bear_jumping.png").write_text("this is no image")
    page.get_by_label("Folder", exact=True).set_input_files(folder)
    page.get_by_role("button", name="Make the study").click()
    expect(page.get_by_text("images/theirs/a_bear_jumping.png")).to_be_visible()  # what was typed is still there
    Image.new("RGB", (96, 96), "green").save(folder / "theirs" / "a_bear_jumping.png")
    page.get_by_label("Folder", exact=True).set_input_files(folder)
    with Client(service.url, service.key.token) as lipe:
        subject = lipe.subject(edited.subject_id or "")
    page.get_by_label("Subject", exact=True).select_option(label=subject.name)
    assert studio.accessibility_violations() == []
    with page.expect_request(lambda request: request.method == "POST" and request.url.endswith("/v1/studies")) as made:
        page.get_by_role("button", name="Make the study").click()
    sent = json.loads(made.value.post_data or "")
    assert {item["subject_id"] for item in sent["items"]} == {subject.id}
    link = page.get_by_role("link", name="#/rate/").inner_text()
    with rater(browser, link, DESKTOP) as ada:
        begin(ada)
        expect(ada.get_by_text("a bear jumping")).to_be_visible()
        expect(ada.get_by_role("img", name="Before the edit")).to_be_visible()


def second_edit(service: Service, edited: Job) -> int | None:
    """Make the same edit with another preset; return the seed of both."""
    with Client(service.url, service.key.token) as lipe:
        first = lipe.get_edit(edited)
        seed = first.results[0].seed
        prompt = first.target_prompts[0]
        lipe.wait(lipe.edit(prior=first.prior_id, image=first.image_id, prompt=prompt, seed=seed, preset="balanced"))
        return seed


@contextmanager
def rater(browser: Browser, link: str, viewport: dict[str, int]) -> Iterator[Page]:
    """A page of another browser, without a key. At the end, the token was in no request's address."""
    with browser.new_context(viewport=viewport, reduced_motion="reduce") as context:  # type: ignore[arg-type]
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto(link)
        yield page
        token = link.rpartition("/")[2]
        assert not [url for url in requests if token in url.partition("#")[0]]


def begin(page: Page) -> None:
    page.get_by_role("button", name="Begin").click()


def counter(page: Page) -> int:
    return int(page.locator(".rate-head .hint").inner_text().split()[0])


def answer(page: Page, key: str) -> None:
    """Answer the question in view by a key, and wait for the next one."""
    number = counter(page)
    expect(page.get_by_role("button", name="The left one")).to_be_enabled()
    page.keyboard.press(key)
    following = f"{number + 1} of {QUESTIONS}"
    target = page.get_by_text(following) if number < QUESTIONS else page.get_by_role("heading", name="Thank you")
    expect(target).to_be_visible()


def finish(page: Page, choose: Callable[[Page], str]) -> None:
    """Answer all questions by keys."""
    while page.get_by_role("heading", name="Thank you").count() == 0:
        answer(page, choose(page))


def carefully(key: str) -> Callable[[Page], str]:
    """This key, but 0 for two equal images."""

    def choose(page: Page) -> str:
        left, right = (page.get_by_role("img", name=f"The {side} image") for side in ("left", "right"))
        return "0" if left.get_attribute("src") == right.get_attribute("src") else key

    return choose


def answer_offline(page: Page) -> None:
    """Answer a question without a connection: the answer is kept, and sent when there is one."""
    number = counter(page)
    page.context.set_offline(True)
    answer(page, "1")
    expect(page.get_by_text("The connection is lost")).to_be_visible()
    stored = [json.loads(text) for text in page.evaluate("Object.values(localStorage)") if "waiting" in text]
    assert len(stored[0]["waiting"]) == 1
    with page.expect_response(lambda response: response.url.endswith("/v1/ratings") and response.ok):
        page.context.set_offline(False)
    expect(page.get_by_text("The connection is lost")).to_have_count(0)
    assert counter(page) == number + 1


def violations(page: Page) -> list[str]:
    """The rules of axe that this page breaks."""
    page.evaluate(AXE.read_text())
    return [rule["id"] for rule in page.evaluate("axe.run()")["violations"]]
