"""Studies: raters compare results without a key and without knowing the systems, and the owner reads what they said."""

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image
from pydantic import SecretStr
from sqlalchemy import select

from ledger import attempts
from ledger.artefacts import NewArtefact
from ledger.database import UnitOfWork
from ledger.models import Project, Study, StudyAnswer, StudyImage
from ledger.partial_results import PartialResults
from ledger.settings import Settings
from ledger.storage import Storage, attempt_prefix
from ledger.study_links import StudyLinks
from tests.support.api_fixtures import NewKey, Refuse
from tests.support.uploads import png

pytestmark = pytest.mark.usefixtures("audited")
UPLOADED = {"name": "Colours", "questions": ["satisfaction"], "attention_checks": 0, "repeats": 0}
NO_RULES = {"min_median_seconds": 0, "min_answers": 0, "max_same_answer_share": 1, "max_failed_checks": 20}


class Rater:
    """A rater with the link of a study and a session of the own browser."""

    def __init__(self, app: FastAPI, study: dict[str, Any], name: str = "ada") -> None:
        headers = {"X-Study-Token": study["rater_token"], "X-Rater-Session": f"{name}-{'0' * 20}"}
        self.client = TestClient(app, headers=headers)

    def next(self) -> dict[str, Any]:
        return self.client.get("/v1/ratings/next").raise_for_status().json()

    def answer(self, number: int, answer: str, seconds: float = 2.0) -> dict[str, Any]:
        payload = {"number": number, "answer": answer, "seconds": seconds}
        return self.client.post("/v1/ratings", json=payload).raise_for_status().json()

    def colour(self, path: str) -> Any:
        """The colour of an image, which a browser gets without any header."""
        answer = TestClient(self.client.app).get(f"/v1/{path}").raise_for_status()
        image = Image.open(io.BytesIO(answer.content)).convert("RGB")
        return image.getpixel((0, 0))

    def finish(self, choose: Callable[[dict[str, Any]], str]) -> int:
        """Answer every question; return their number."""
        while questions := self.next()["questions"]:
            self.answer(questions[0]["number"], choose(questions[0]))
        return self.next()["total"]

    def prefer(self, colour: tuple[int, int, int]) -> Callable[[dict[str, Any]], str]:
        """Choose the image of this colour, or a tie."""

        def choose(question: dict[str, Any]) -> str:
            matching = [side for side in ("left", "right") if self.colour(question[side]) == colour]
            return matching[0] if len(matching) == 1 else "tie"

        return choose


RED, GREEN = (255, 0, 0), (0, 128, 0)


@pytest.fixture
def images(upload: Callable[..., str]) -> dict[str, str]:
    return {color: upload(color) for color in ("red", "green", "blue", "white")}


@pytest.fixture
def study(api: TestClient, images: dict[str, str]) -> dict[str, Any]:
    """Four items: the system "warm" made red images, "cold" green ones."""
    item = {
        "results": {"warm": images["red"], "cold": images["green"]},
        "prompt": "a colour",
        "source_image_id": images["white"],
        "reference_image_ids": [images["blue"]],
    }
    payload = UPLOADED | {"items": [item] * 4, "exclusion": NO_RULES}
    return api.post("/v1/studies", json=payload).raise_for_status().json()


@pytest.fixture
def edit(
    api: TestClient, subject: dict[str, Any], prior: str, images: dict[str, str], begin: UnitOfWork, storage: Storage
) -> Callable[..., str]:
    """`edit("red", seed=1)`: the id of a succeeded edit with a result of this colour."""

    def make(color: str, *, seed: int = 1, image: str = images["white"], finish: bool = True) -> str:
        payload = {"prior_id": prior, "image_id": image, "prompt": "a photo of sks dog jumping", "seed": seed}
        job = api.post("/v1/edits", json=payload).raise_for_status().json()
        if not finish:
            return job["edit_id"]
        with begin() as session:
            claim = attempts.claim(session, job["id"], "worker-1", lease_seconds=60)
            assert claim is not None
        prefix = attempt_prefix(claim.project_id, job["id"], claim.epoch)
        details = {"target_prompt": payload["prompt"], "seed": seed}
        stored = storage.put(prefix, "image-1.png", png(color), "image/png")
        made = [NewArtefact("image", "image-1.png", "image/png", stored, details)]
        with begin() as session:
            assert attempts.keep(session, claim, PartialResults({}, {1: made}), storage)
            assert attempts.finish(session, claim, made, resolved={}, metrics={}, manifest=None, storage=storage)
        return job["edit_id"]

    return make


def test_three_raters_compare_uploaded_images(app: FastAPI, api: TestClient, study: dict[str, Any]) -> None:
    assert (study["state"], study["items"], study["systems"]) == ("open", 4, ["cold", "warm"])
    assert study["questions_per_rater"] == 4
    raters = [Rater(app, study, name) for name in ("ada", "bob", "eve")]
    for rater, colour in zip(raters, (RED, RED, GREEN), strict=True):
        assert rater.finish(rater.prefer(colour)) == 4
    counted = api.get(f"/v1/studies/{study['id']}").json()
    assert (counted["raters"], counted["finished_raters"], counted["answers"]) == (3, 3, 12)
    closed = api.post(f"/v1/studies/{study['id']}/close").raise_for_status().json()
    assert (closed["state"], closed["rater_token"]) == ("closed", None)
    results = api.get(f"/v1/studies/{study['id']}/results").raise_for_status().json()
    (question,) = results["questions"]
    warm, cold = question["systems"]
    assert (warm["system"], cold["system"], question["comparisons"]) == ("warm", "cold", 12)
    assert warm["share"]["value"] == pytest.approx(8 / 12)
    assert warm["share"]["low"] < 8 / 12 < warm["share"]["high"]
    assert warm["score"]["value"] == pytest.approx(-cold["score"]["value"])
    assert warm["score"]["value"] > 0
    assert question["agreement"] < 0.1  # one of three always disagrees
    assert [rater["excluded"] for rater in results["raters"]] == [[], [], []]
    table = api.get(f"/v1/studies/{study['id']}/results.csv")
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert [row["preferred_system"] for row in rows] == ["warm"] * 8 + ["cold"] * 4
    assert {row["left_system"] for row in rows} == {"warm", "cold"}  # the sides are random
    assert rows[0]["prompt"] == "a colour"


def test_a_rater_cannot_learn_the_systems(app: FastAPI, api: TestClient, study: dict[str, Any]) -> None:
    rater = Rater(app, study)
    answer = rater.client.get("/v1/ratings/next")
    for secret in ("warm", "cold", "img_", "itm_", study["id"].split("_")[1]):
        assert secret not in answer.text
    (question, *_) = answer.json()["questions"]
    sides = {rater.colour(question["left"]), rater.colour(question["right"])}
    assert sides == {RED, GREEN}
    assert rater.colour(question["source"]) == (255, 255, 255)
    assert len(question["references"]) == 1
    for path in (f"/v1/studies/{study['id']}", f"/v1/studies/{study['id']}/results", "/v1/studies"):
        assert rater.client.get(path).status_code == 401


def test_the_order_and_the_sides_differ_between_raters_and_stay_for_each(app: FastAPI, study: dict[str, Any]) -> None:
    def sides(name: str) -> list[bool]:
        rater = Rater(app, study, name)
        return [rater.colour(one["left"]) == RED for one in rater.next()["questions"]]

    seen = [sides(f"rater{number}") for number in range(12)]
    assert seen == [sides(f"rater{number}") for number in range(12)]
    assert len({tuple(one) for one in seen}) > 3
    assert 12 < sum(map(sum, seen)) < 36  # of 48


def test_an_answer_counts_once(app: FastAPI, api: TestClient, study: dict[str, Any], begin: UnitOfWork) -> None:
    rater = Rater(app, study)
    first = rater.next()["questions"][0]["number"]
    assert rater.answer(first, "left") == {"answered": 1, "total": 4}
    assert rater.answer(first, "left") == {"answered": 1, "total": 4}
    assert rater.answer(first, "right") == {"answered": 1, "total": 4}
    with begin() as session:
        assert list(session.scalars(select(StudyAnswer.answer))) == ["left"]
    assert first not in [one["number"] for one in rater.next()["questions"]]


def test_a_full_study_lets_only_its_raters_go_on(
    app: FastAPI, api: TestClient, study: dict[str, Any], images: dict[str, str], refused: Refuse
) -> None:
    item = {"results": {"warm": images["red"], "cold": images["green"]}}
    small = api.post("/v1/studies", json=UPLOADED | {"items": [item] * 2, "max_raters": 1}).json()
    ada, bob = Rater(app, small, "ada"), Rater(app, small, "bob")
    assert bob.next()["total"] == 2  # to open the link takes no place
    ada.answer(1, "left")
    payload = {"number": 1, "answer": "left", "seconds": 1}
    assert "1 raters" in refused(409, "study_full", bob.client.post, "/v1/ratings", json=payload)["detail"]
    refused(409, "study_full", bob.client.get, "/v1/ratings/next")
    assert ada.answer(2, "tie")["answered"] == 2


def test_a_closed_and_an_erased_study_say_so(
    app: FastAPI, api: TestClient, study: dict[str, Any], refused: Refuse, begin: UnitOfWork
) -> None:
    rater = Rater(app, study)
    image = rater.next()["questions"][0]["left"]
    payload = {"number": 1, "answer": "left", "seconds": 1}
    for _ in range(2):  # to close it again changes nothing
        assert api.post(f"/v1/studies/{study['id']}/close").json()["state"] == "closed"
    refused(409, "study_closed", rater.client.get, "/v1/ratings/next")
    refused(409, "study_closed", rater.client.post, "/v1/ratings", json=payload)
    refused(404, "not_found", rater.client.get, f"/v1/{image}")
    assert api.delete(f"/v1/studies/{study['id']}").status_code == 204
    assert api.delete(f"/v1/studies/{study['id']}").status_code == 404
    refused(410, "study_erased", rater.client.get, "/v1/ratings/next")
    refused(410, "study_erased", rater.client.post, "/v1/ratings", json=payload)
    with begin() as session:
        assert session.scalars(select(StudyImage)).all() == []


def test_an_open_study_has_no_results(api: TestClient, study: dict[str, Any], refused: Refuse) -> None:
    path = f"/v1/studies/{study['id']}"
    for name in ("results", "results.csv"):
        assert "close" in refused(409, "study_open", api.get, f"{path}/{name}")["detail"]
    api.post(f"{path}/close")
    assert api.get(f"{path}/results").json() == {
        "study_id": study["id"], "questions": [], "raters": [], "answers_used": 0,
    }  # fmt: skip
    assert len(api.get(f"{path}/results.csv").text.splitlines()) == 1


@pytest.mark.parametrize("change", [lambda token: token[:-1], lambda token: token[::-1], lambda token: "", str.upper])
def test_a_wrong_link_is_refused(
    app: FastAPI, study: dict[str, Any], refused: Refuse, change: Callable[[str], str]
) -> None:
    rater = Rater(app, study | {"rater_token": change(study["rater_token"])})
    assert "whole link" in refused(403, "study_link_invalid", rater.client.get, "/v1/ratings/next")["detail"]
    payload = {"number": 1, "answer": "left", "seconds": 1}
    refused(403, "study_link_invalid", rater.client.post, "/v1/ratings", json=payload)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"number": 5}, "number"),
        ({"number": 0}, "number"),
        ({"number": 2**31}, "number"),
        ({"number": None}, "number"),
        ({"answer": "warm"}, "answer"),
        ({"answer": ""}, "answer"),
        ({"seconds": -1}, "seconds"),
        ({"seconds": 1e9}, "seconds"),
        ({"system": "warm"}, "system"),
    ],
)
def test_a_wrong_answer_is_refused(
    app: FastAPI, study: dict[str, Any], refused: Refuse, change: dict[str, Any], param: str
) -> None:
    payload = {"number": 1, "answer": "left", "seconds": 1} | change
    call = Rater(app, study).client.post
    assert refused(422, "invalid_request", call, "/v1/ratings", json=payload)["param"] == param


@pytest.mark.parametrize("session", ["", "short", "a b" * 10, "x" * 65, "\u00e4" * 20])
def test_a_wrong_session_is_refused(app: FastAPI, study: dict[str, Any], refused: Refuse, session: str) -> None:
    headers = {b"X-Study-Token": study["rater_token"].encode(), b"X-Rater-Session": session.encode()}
    refused(422, "invalid_request", TestClient(app).get, "/v1/ratings/next", headers=headers)
    del headers[b"X-Rater-Session"]
    refused(422, "invalid_request", TestClient(app).get, "/v1/ratings/next", headers=headers)


def test_a_changed_or_late_image_is_refused(
    app: FastAPI, study: dict[str, Any], refused: Refuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    rater = Rater(app, study)
    question = rater.next()["questions"][0]
    left, right = (question[side].partition("?") for side in ("left", "right"))
    refused(403, "signed_url_invalid", rater.client.get, f"/v1/{left[0]}?{right[2]}")
    later = question["left"].replace("expires=", "expires=1")
    refused(403, "signed_url_invalid", rater.client.get, f"/v1/{later}")
    refused(422, "invalid_request", rater.client.get, f"/v1/{left[0]}")
    monkeypatch.setattr("ledger.study_links.time.time", lambda: 4e9)
    problem = refused(403, "signed_url_invalid", rater.client.get, f"/v1/{question['left']}")
    assert "expired" in problem["detail"]


def test_edits_are_compared_where_image_prompt_and_seed_agree(
    app: FastAPI, api: TestClient, edit: Callable[..., str], images: dict[str, str], subject: dict[str, Any]
) -> None:
    systems = {"lipe": [edit("red"), edit("red", seed=2)], "ddim": [edit("green"), edit("green", seed=3)]}
    created = api.post("/v1/studies", json={"name": "Dogs", "systems": systems, "attention_checks": 0, "repeats": 0})
    study = created.raise_for_status().json()
    assert (study["items"], study["questions_per_rater"]) == (1, 3)  # one case, three questions
    assert created.headers["location"] == f"/v1/studies/{study['id']}"
    questions = Rater(app, study).next()["questions"]
    assert {one["question"] for one in questions} == {"identity", "background", "satisfaction"}
    assert all(one["prompt"] == "a photo of sks dog jumping" for one in questions)
    assert all(len(one["references"]) == 3 and one["source"] for one in questions)


def test_what_cannot_be_compared_is_refused(
    api: TestClient, stranger: TestClient, edit: Callable[..., str], images: dict[str, str], refused: Refuse
) -> None:
    one, other, waiting = edit("red"), edit("green", seed=2), edit("green", finish=False)

    def problem(status: int, code: str, call: Callable[..., Any] = api.post, /, **fields: Any) -> str:
        return refused(status, code, call, "/v1/studies", json={"name": "Dogs"} | fields)["param"]

    assert problem(422, "invalid_request", systems={"a": [one], "b": [other]}) == "systems"
    assert problem(404, "not_found", systems={"a": [one], "b": [waiting]}) == "systems.b[0]"
    assert problem(404, "not_found", systems={"a": [one], "b": [other, "edt_1"]}) == "systems.b[1]"
    assert problem(404, "not_found", stranger.post, systems={"a": [one], "b": [other]}) == "systems.a[0]"
    assert problem(422, "invalid_request", systems={"a": [one]}) == "systems"
    assert problem(422, "invalid_request") == "body"
    both: dict[str, Any] = {
        "systems": {"a": [one], "b": [other]},
        "items": [{"results": {"a": images["red"], "b": images["green"]}}],
    }
    assert problem(422, "invalid_request", **both) == "body"
    assert problem(422, "invalid_request", items=[]) == "items"
    assert problem(422, "invalid_request", items=[{"results": {"a": images["red"]}}]) == "items[0].results"
    item: dict[str, Any] = {"results": {"a": images["red"], "b": "img_1"}}
    assert problem(404, "not_found", items=[item]) == "items[0].results.b"
    item = {"results": {"a": images["red"], "b": images["green"]}, "subject_id": "sub_1"}
    assert problem(404, "not_found", items=[item]) == "items[0].subject_id"
    item = item | {"subject_id": None, "reference_image_ids": [images["blue"], "img_2"]}
    assert problem(404, "not_found", items=[item]) == "items[0].reference_image_ids[1]"
    assert problem(404, "not_found", stranger.post, items=[item]).startswith("items[0]")
    item = {"results": {"a": images["red"], "b": images["green"]}}
    assert problem(422, "invalid_request", items=[item], questions=["beauty"]) == "questions[0]"
    assert problem(422, "invalid_request", items=[item], questions=["identity"] * 2) == "body"
    assert problem(422, "invalid_request", items=[item], exclusion={"min_answer": 1}) == "exclusion.min_answer"
    assert problem(422, "invalid_request", items=[item], exclusion={"max_same_answer_share": 0}).startswith("exclusion")
    assert problem(422, "invalid_request", items=[item], max_raters=0) == "max_raters"
    assert problem(422, "invalid_request", items=[item], name="") == "name"
    assert problem(422, "invalid_request", items=[item] * 201) == "items"


def test_excluded_raters_are_named_with_their_rules(app: FastAPI, api: TestClient, images: dict[str, str]) -> None:
    item = {"results": {"warm": images["red"], "cold": images["green"]}}
    rules = {"max_failed_checks": 0, "min_repeat_agreement": 1, "min_median_seconds": 1, "min_answers": 5}
    shape = {"attention_checks": 2, "repeats": 2, "exclusion": rules, "questions": ["satisfaction"]}
    study = api.post("/v1/studies", json=UPLOADED | shape | {"items": [item] * 8}).raise_for_status().json()
    careful, careless, brief = (Rater(app, study, name) for name in ("careful", "careless", "brief"))
    assert careful.finish(careful.prefer(RED)) == 12
    assert careless.finish(lambda question: "left") == 12
    brief.answer(1, "left", seconds=0.1)
    api.post(f"/v1/studies/{study['id']}/close").raise_for_status()
    results = api.get(f"/v1/studies/{study['id']}/results").raise_for_status().json()
    one, two, three = results["raters"]
    assert (one["excluded"], one["checks"], one["checks_failed"], one["repeats_agreed"]) == ([], 2, 0, 2)
    assert two["excluded"] == ["max_failed_checks", "min_repeat_agreement", "max_same_answer_share"]
    assert (two["checks_failed"], two["repeats_agreed"]) == (2, 0)
    assert three["excluded"] == ["min_answers", "min_median_seconds"]
    assert results["answers_used"] == 8  # those of one rater, without checks and repeats
    rows = list(csv.DictReader(io.StringIO(api.get(f"/v1/studies/{study['id']}/results.csv").text)))
    assert len(rows) == 25
    assert {row["excluded"] for row in rows if row["rater"] == "3"} == {"min_answers min_median_seconds"}


def test_a_read_key_sees_a_study_without_its_link(
    app: FastAPI, study: dict[str, Any], project: Project, new_key: NewKey, refused: Refuse
) -> None:
    reader = TestClient(app, headers={"Authorization": f"Bearer {new_key(project, scope='read')}"})
    assert reader.get(f"/v1/studies/{study['id']}").json() == study | {"rater_token": None}
    assert reader.get("/v1/studies").json()["data"] == [study | {"rater_token": None}]
    refused(403, "insufficient_scope", reader.post, "/v1/studies", json={})
    refused(403, "insufficient_scope", reader.post, f"/v1/studies/{study['id']}/close")
    refused(403, "insufficient_scope", reader.delete, f"/v1/studies/{study['id']}")


def test_a_token_opens_nothing_but_ratings(app: FastAPI, study: dict[str, Any]) -> None:
    rater = Rater(app, study).client
    for method, path in (("GET", "/v1/ratings"), ("GET", "/v1/ratings/other"), ("DELETE", "/v1/ratings/next/x")):
        assert rater.request(method, path).status_code in {401, 405}, path
    assert rater.get("/v1/subjects", headers={"Authorization": f"Bearer {study['rater_token']}"}).status_code == 401


def test_an_image_in_a_study_is_in_use_until_the_study_is_deleted(
    api: TestClient, study: dict[str, Any], images: dict[str, str], refused: Refuse
) -> None:
    path = f"/v1/images/{images['red']}"
    used_by = refused(409, "image_in_use", api.delete, path)["used_by"]
    assert used_by == {"subjects": [], "edits": [], "studies": [study["id"]]}
    api.delete(f"/v1/studies/{study['id']}").raise_for_status()
    assert api.delete(path).status_code == 204


def test_an_erased_image_takes_its_items_along(app: FastAPI, api: TestClient, images: dict[str, str]) -> None:
    items = [{"results": {"a": images["red"], "b": images[other]}} for other in ("green", "blue")]
    study = api.post("/v1/studies", json=UPLOADED | {"items": items}).raise_for_status().json()
    rater = Rater(app, study)
    rater.finish(lambda question: "left")
    assert api.delete(f"/v1/images/{images['green']}", params={"cascade": True}).status_code == 204
    left = api.get(f"/v1/studies/{study['id']}").json()
    assert (left["items"], left["state"], left["answers"]) == (1, "closed", 1)
    assert api.delete(f"/v1/images/{images['red']}", params={"cascade": True}).status_code == 204
    assert api.get(f"/v1/studies/{study['id']}").status_code == 404
    assert rater.client.get("/v1/ratings/next").json()["code"] == "study_erased"


def test_an_erased_subject_takes_its_items_along(
    api: TestClient, edit: Callable[..., str], images: dict[str, str], subject: dict[str, Any], begin: UnitOfWork
) -> None:
    ours = {"results": {"a": images["red"], "b": images["green"]}, "subject_id": subject["id"]}
    other = {"results": {"a": images["blue"], "b": images["white"]}}
    of_edits = {"name": "Dogs", "systems": {"lipe": [edit("red")], "ddim": [edit("green")]}}
    one = api.post("/v1/studies", json=of_edits).raise_for_status().json()
    two = api.post("/v1/studies", json=UPLOADED | {"items": [ours, other]}).raise_for_status().json()
    assert api.delete(f"/v1/subjects/{subject['id']}").status_code == 204
    assert api.get(f"/v1/studies/{one['id']}").status_code == 404
    left = api.get(f"/v1/studies/{two['id']}").json()
    assert (left["items"], left["state"], left["systems"]) == (1, "closed", ["a", "b"])
    assert api.get(f"/v1/images/{images['red']}").status_code == 404  # it showed the subject, and nothing else uses it
    assert api.get(f"/v1/images/{images['blue']}").status_code == 200
    with begin() as session:
        assert list(session.scalars(select(Study.id))) == [two["id"]]


def test_an_erased_edit_takes_its_items_along(api: TestClient, edit: Callable[..., str]) -> None:
    systems = {"lipe": [edit("red"), edit("red", seed=2)], "ddim": [edit("green"), edit("green", seed=2)]}
    study = api.post("/v1/studies", json={"name": "Dogs", "systems": systems}).raise_for_status().json()
    assert api.delete(f"/v1/edits/{systems['lipe'][0]}").status_code == 204
    left = api.get(f"/v1/studies/{study['id']}").json()
    assert (left["items"], left["state"]) == (1, "closed")


def test_a_project_has_a_quota_of_studies(
    app: FastAPI, api: TestClient, study: dict[str, Any], images: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = app.state.service.settings.model_copy(update={"max_studies": 1})
    monkeypatch.setitem(app.state.service.__dict__, "settings", settings)
    item = {"results": {"warm": images["red"], "cold": images["green"]}}
    answer = api.post("/v1/studies", json=UPLOADED | {"items": [item]})
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_studies")
    assert len(api.get("/v1/studies").json()["data"]) == 1
    assert {"name": "studies", "quota": 1, "remaining": 0, "reset_seconds": None} in api.get("/v1/usage").json()[
        "quotas"
    ]


def test_a_repeated_request_makes_one_study(api: TestClient, images: dict[str, str]) -> None:
    payload = UPLOADED | {"items": [{"results": {"warm": images["red"], "cold": images["green"]}}]}
    answers = [api.post("/v1/studies", json=payload, headers={"Idempotency-Key": "k1"}).json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert len(api.get("/v1/studies").json()["data"]) == 1


def test_the_table_cannot_run_as_a_formula(app: FastAPI, api: TestClient, images: dict[str, str]) -> None:
    item = {"results": {"=cmd()": images["red"], "b": images["green"]}, "prompt": '@sum(1), "x"'}
    study = api.post("/v1/studies", json=UPLOADED | {"items": [item], "exclusion": NO_RULES}).json()
    rater = Rater(app, study)
    rater.finish(rater.prefer(RED))
    api.post(f"/v1/studies/{study['id']}/close")
    (row,) = csv.DictReader(io.StringIO(api.get(f"/v1/studies/{study['id']}/results.csv").text))
    assert (row["preferred_system"], row["prompt"]) == ("'=cmd()", '\'@sum(1), "x"')


def test_a_new_pepper_makes_links_invalid(settings: Settings, study: dict[str, Any]) -> None:
    assert StudyLinks(settings).study_of(study["rater_token"]) == study["id"]
    other = settings.model_copy(update={"key_pepper": SecretStr("another pepper of some length")})
    assert StudyLinks(other).study_of(study["rater_token"]) is None


def test_a_study_shows_a_person_only_with_consent(app: FastAPI, api: TestClient, images: dict[str, str]) -> None:
    references = [images[color] for color in ("red", "green", "blue")]
    receipt = {"person": "Ada", "purpose": "a study"}
    person = {"name": "Ada", "class_noun": "woman", "references": references, "consent": receipt}
    subject = api.post("/v1/subjects", json=person).raise_for_status().json()
    item = {"results": {"a": images["red"], "b": images["green"]}, "subject_id": subject["id"]}
    payload = UPLOADED | {"items": [item]}
    rater = Rater(app, api.post("/v1/studies", json=payload).raise_for_status().json())
    path = rater.next()["questions"][0]["left"]
    assert rater.client.get(f"/v1/{path}").status_code == 200
    api.delete(f"/v1/subjects/{subject['id']}/consent").raise_for_status()
    assert rater.client.get("/v1/ratings/next").json()["code"] == "study_closed"
    assert rater.client.get(f"/v1/{path}").json()["code"] == "not_found"
    refusal = api.post("/v1/studies", json=payload)
    assert (refusal.status_code, refusal.json()["code"]) == (409, "consent_ended")
    api.post(f"/v1/subjects/{subject['id']}/consent", json=receipt).raise_for_status()
    assert rater.next()["total"] == 1
