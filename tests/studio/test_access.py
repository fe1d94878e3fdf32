"""Keys in the studio: what a `read` key sees, and links with the key of another project."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect

from cli.embedded.up import Service
from ledger import keys, projects
from ledger.database import make_engine, unit_of_work
from lipe_client import Client
from tests.studio.test_journey import DRAWN
from tests.support.studio import Visit, visit


@contextmanager
def read_key(service: Service) -> Iterator[str]:
    """A `read` key of the service's project, revoked at the end."""
    with Client(service.url, service.key.token) as lipe:
        created = lipe.create_api_key("viewer", scope="read")
        yield created.api_key
        lipe.revoke_api_key(created)


@pytest.fixture
def stranger(service: Service) -> str:
    """The key of another project of the service, with the name “Mallory's”."""
    engine = make_engine(service.environment["LIPE_DATABASE_URL"])
    with unit_of_work(engine)() as session:
        owner = projects.create(session, "Mallory's")
        _, token = keys.create(session, service.environment["LIPE_KEY_PEPPER"], owner.id, "bait", scope="write")
    engine.dispose()
    return token


def test_a_read_key_sees_everything_and_reads_why_it_may_not_change_it(page: Page, service: Service) -> None:
    with Client(service.url, service.key.token) as lipe:
        references = [lipe.upload_image(file) for file in sorted(DRAWN.glob("reference-*.png"))]
        subject = lipe.create_subject(name="Vera", class_noun="bear", references=references)
    with read_key(service) as key, visit(page, service.url, key) as studio:
        expect(page.get_by_text("read only")).to_be_visible()
        expect(page.get_by_role("link", name=re.compile("Vera"))).to_be_visible()
        expect(page.get_by_role("link", name="New subject")).to_be_hidden()
        page.goto(f"{service.url}/#/subjects/{subject.id}")
        expect(page.get_by_role("heading", name="References")).to_be_visible()
        expect(page.get_by_role("status").filter(has_text="Your key can only look")).to_be_visible()
        assert studio.accessibility_violations() == []
        for name in ("Erase", "Start training", "Write the missing captions"):
            expect(page.get_by_role("button", name=name)).to_be_hidden()
        page.get_by_role("link", name="Edit", exact=True).click()
        expect(page.get_by_role("status").filter(has_text="Your key can only look")).to_be_visible()
        page.get_by_role("link", name="Service").click()
        expect(page.get_by_text("can manage keys")).to_be_visible()
        expect(page.get_by_text("can change the endpoints")).to_be_visible()
        expect(page.get_by_role("meter", name="Jobs in the queue")).to_be_visible()
        assert studio.refused == []  # nothing was asked that the key may not know


def test_a_link_with_the_key_of_another_project_asks_first(studio: Visit, service: Service, stranger: str) -> None:
    page = studio.page
    page.get_by_role("link", name="New subject").first.click()
    page.get_by_label("Name").fill("Typed before")
    page.goto(f"{service.url}/#key={stranger}")
    question = page.get_by_role("heading", name="Open another project?")
    expect(question).to_be_visible()
    expect(page.get_by_text("Mallory's").first).to_be_visible()
    assert stranger not in page.url
    assert studio.accessibility_violations() == []
    page.get_by_role("button", name="Stay in default").click()
    expect(question).to_be_hidden()
    expect(page.get_by_label("Name")).to_have_value("Typed before")
    assert page.evaluate("sessionStorage['lipe-api-key']") == service.key.token

    page.goto(f"{service.url}/#key={stranger}")
    page.get_by_role("button", name="Open Mallory's").click()
    expect(page.get_by_role("heading", name="Teach LIPE its first subject")).to_be_visible()
    assert page.evaluate("sessionStorage['lipe-api-key']") == stranger
    page.goto(f"{service.url}/#key={service.key.token}")  # another key is in use, also if this one is known
    expect(page.get_by_text("You are in the project Mallory's now.")).to_be_visible()


def test_a_link_asks_also_in_a_new_tab_of_a_browser_that_knows_another_key(
    browser: Browser, service: Service, stranger: str
) -> None:
    with browser.new_context() as context:
        first, second = context.new_page(), context.new_page()
        first.goto(f"{service.url}/#key={service.key.token}")
        expect(first.get_by_role("heading", name="Subjects")).to_be_visible()
        second.goto(f"{service.url}/#key={stranger}")
        expect(second.get_by_role("heading", name="Open another project?")).to_be_visible()
        second.get_by_role("button", name="Do not use it").click()
        expect(second.get_by_label("API key")).to_be_visible()
        second.goto(f"{service.url}/#key={service.key.token}")
        expect(second.get_by_role("heading", name="Subjects")).to_be_visible()
        second.goto(f"{service.url}/#key=lipe_wrong")
        expect(second).to_have_url(f"{service.url}/#/subjects")


def test_a_link_with_a_revoked_key_says_so_and_keeps_the_session(studio: Visit, service: Service) -> None:
    with read_key(service) as revoked:
        pass
    studio.page.goto(f"{service.url}/#key={revoked}")
    expect(studio.page.get_by_role("alert").filter(has_text="the API key is revoked")).to_be_visible()
    studio.page.get_by_role("button", name="Stay in default").click()
    expect(studio.page.get_by_role("heading", name="Subjects")).to_be_visible()
    assert studio.page.evaluate("sessionStorage['lipe-api-key']") == service.key.token
