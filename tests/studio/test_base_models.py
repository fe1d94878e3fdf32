"""A training in a service with workers of two base models: the form offers both, and the settings of the chosen one."""

import re

from playwright.sync_api import Route, expect

from cli.embedded.up import Service
from lipe_client import Client, Job
from tests.support.studio import Visit


def test_a_training_chooses_its_base_model(studio: Visit, service: Service, edited: Job) -> None:
    page = studio.page

    def add_another(route: Route) -> None:
        answer = route.fetch()
        body = answer.json()
        [own] = body["data"]
        recipe = {**own["recipe"], "prior": {"steps": 500}}
        another = {**own, "name": "klein", "fingerprint": "b" * 64, "family": "flux2", "recipe": recipe}
        route.fulfill(response=answer, json=body | {"data": [another, own]})

    page.route("**/v1/models", add_another)
    page.goto(f"{service.url}/#/subjects/{edited.subject_id}")
    page.reload()
    chosen = page.get_by_label("Base model", exact=True)
    expect(chosen.locator("option:checked")).to_have_text("klein")
    page.get_by_text("Advanced: all settings of the training").click()
    expect(page.get_by_label("steps", exact=True).first).to_have_attribute("placeholder", "500")
    expect(page.get_by_label("token_learning_rate")).to_be_hidden()
    assert studio.accessibility_violations() == []
    chosen.select_option(index=1)
    page.get_by_label("token_learning_rate").fill("0.001")
    page.get_by_role("button", name="Start training").click()
    expect(page).to_have_url(re.compile("#/jobs/job_"))
    with Client(service.url, service.key.token) as lipe:
        [own] = lipe.models()
        job = next(iter(lipe.jobs(kind="prior")))
        lipe.cancel(job)
    assert (job.base_model, job.parameters["prior"]) == (own.fingerprint, {"token_learning_rate": 0.001})
