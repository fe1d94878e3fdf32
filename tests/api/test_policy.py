"""The operator's policy at the API: the example server end to end, and what follows if a policy does not answer."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import pytest
from fastapi.testclient import TestClient
from standardwebhooks import Webhook

from api.app import make_app
from examples.policy.app import make_app as make_policy
from examples.policy.classifiers import RefuseSmall
from examples.policy.prompt_list import PromptList
from ledger import decisions
from ledger.database import UnitOfWork
from ledger.models import Project
from ledger.settings import Settings
from ledger.storage import Storage, project_prefix
from tests.api.test_prior_imports import NAME, announced, imported, lora_file, tensor
from tests.support.api_fixtures import NewKey
from tests.support.policy import SECRET, asking, running, saying
from tests.support.receiver import receiving

ALLOW = saying({"decision": "allow", "policy": "stub"})
NO_ANSWERS: dict[str, Any] = {
    "a status": 500,
    "a redirect": 307,
    "no JSON": saying(b"allow"),
    "another decision": saying({"decision": "perhaps"}),
    "a list": saying(["allow"]),
    "text as a code": saying({"decision": "allow", "code": "The Code"}),
    "a huge answer": saying({"decision": "allow", "reason": "x" * 100_000}),
}


@pytest.fixture
def client(project: Project, new_key: NewKey) -> Callable[..., Any]:
    """`with client(settings) as api:` is a client of an application with these settings."""

    @contextmanager
    def opened(settings: Settings) -> Iterator[TestClient]:
        headers = {"Authorization": f"Bearer {new_key(project)}"}
        with TestClient(make_app(settings), headers=headers) as api:
            yield api

    return opened


def log_of(begin: UnitOfWork, project: Project) -> list[dict[str, Any]]:
    with begin() as session:
        lines = list(decisions.export(session, project.id))
    assert list(decisions.breaks(lines)) == []
    return lines


def test_the_example_policy_refuses_prompts_and_references(
    settings: Settings, client: Callable[..., Any], upload: Callable[..., str], subject: dict[str, Any], prior: str,
    begin: UnitOfWork, project: Project,
) -> None:  # fmt: skip
    policy = make_policy(SECRET, PromptList(("naked",)), RefuseSmall(80))
    references = [upload(color, (96, 96)) for color in ("pink", "teal", "gold")]
    small = upload("gray", (72, 96))
    new = {"name": "Tom", "class_noun": "cat", "references": references}
    with running(policy) as url, client(asking(settings, url)) as api:
        body = {"prior_id": prior, "image_id": references[0], "prompt": "a photo of sks dog jumping"}
        assert api.post("/v1/edits", json=body).status_code == 202
        for field in ("prompt", "negative_prompt"):
            answer = api.post("/v1/edits", json=body | {field: "a photo of sks dog, NAKED"})
            assert (answer.status_code, answer.json()["code"]) == (403, "refused_by_policy")
            assert answer.json()["detail"] == "the prompt must not have 'naked'"
        assert api.post("/v1/edits", json=body | {"image_id": small}).json()["code"] == "refused_by_policy"

        tom = api.post("/v1/subjects", json=new).raise_for_status().json()
        refusal = api.post("/v1/subjects", json=new | {"references": [*references[:2], small]})
        assert "the image has 72 x 96 pixels" in refusal.json()["detail"]
        assert api.post("/v1/subjects", json=new | {"captions": [None, "a naked cat", None]}).status_code == 403
        path = f"/v1/subjects/{tom['id']}"
        assert api.post(f"{path}/references", json={"image_id": small}).json()["code"] == "refused_by_policy"
        captions = {references[0]: "a naked cat"}
        assert api.patch(path, json={"captions": captions}).json()["code"] == "refused_by_policy"
        assert api.post(f"{path}/priors").status_code == 202
        assert [len(row["references"]) for row in api.get("/v1/subjects").json()["data"]] == [3, 3]
    lines = log_of(begin, project)
    allowed = ["allowed" if place in (0, 4) else "refused" for place in range(9)]
    assert [line["outcome"] for line in lines] == allowed
    assert {line["reason"] for line in lines} == {None, "word_list", "too_small"}
    assert all(line["actor"].startswith("key:") for line in lines)
    assert lines[0]["digests"] == [decisions.digest("a photo of sks dog jumping")]
    assert not any(word in json.dumps(lines) for word in ("naked", "photo", "Tom"))


def test_a_question_is_signed_and_a_repeated_request_asks_nothing(
    settings: Settings, client: Callable[..., Any], upload: Callable[..., str]
) -> None:
    new = {"name": "Tom", "class_noun": "cat", "references": [upload(color) for color in ("pink", "teal", "gold")]}
    with receiving(ALLOW) as receiver, client(asking(settings, receiver.url)) as api:
        for _ in range(2):
            api.post("/v1/subjects", json=new, headers={"Idempotency-Key": "a"}).raise_for_status()
        ((headers, body),) = receiver.seen
    message = Webhook(SECRET).verify(body, headers)
    assert message["type"] == "policy.references"
    assert [image["id"] for image in message["data"]["images"]] == new["references"]
    assert "Tom" not in body.decode()


def test_a_dry_run_answers_what_the_policy_says_and_creates_nothing(
    settings: Settings, client: Callable[..., Any], subject: dict[str, Any], upload: Callable[..., str], prior: str
) -> None:
    body = {"prior_id": prior, "image_id": upload("pink"), "prompt": "a photo of sks dog jumping"}
    refuse = saying({"decision": "refuse", "reason": "no dogs today"})
    path = f"/v1/subjects/{subject['id']}"
    with receiving(ALLOW, refuse) as receiver, client(asking(settings, receiver.url)) as api:
        api.patch(path, json={"captions": {subject["references"][0]["image_id"]: "a sks dog"}}).raise_for_status()
        for url, sent in (("/v1/edits/dry-run", body), (f"{path}/priors/dry-run", {})):
            refused = api.post(url, json=sent)
            assert (refused.status_code, refused.json()["detail"]) == (403, "no dogs today")
        receiver.answers[:] = [ALLOW]
        assert api.post("/v1/edits/dry-run", json=body).status_code == 200
        assert api.get("/v1/edits").json()["data"] == []
    questions = [json.loads(content)["data"] for _, content in receiver.seen]
    assert [question.get("dry_run") for question in questions] == [None, True, True, True]


def test_images_are_described_and_loras_imported_only_if_the_policy_allows_it(
    settings: Settings, client: Callable[..., Any], subject: dict[str, Any], storage: Storage, project: Project,
    begin: UnitOfWork,
) -> None:  # fmt: skip
    refuse, lora = saying({"decision": "refuse", "code": "no", "policy": "stub"}), lora_file({NAME: tensor()})
    with receiving(refuse) as receiver, client(asking(settings, receiver.url)) as api:
        announced_lora = announced(api, lora)
        kept = set(storage.keys(project_prefix(project.id)))
        captions = {"subject_id": subject["id"], "action": "asleep"}
        assert api.post("/v1/captions", json=captions).json()["code"] == "refused_by_policy"
        assert imported(api, subject, announced_lora).json()["code"] == "refused_by_policy"
        assert set(storage.keys(project_prefix(project.id))) == kept
        assert api.get("/v1/jobs").json()["data"] == []
        receiver.answers[:] = [ALLOW]
        assert api.post("/v1/captions", json=captions).status_code == 202
        assert imported(api, subject, announced_lora).status_code == 202
    messages = [json.loads(content) for _, content in receiver.seen]
    assert [message["type"] for message in messages] == ["policy.captions", "policy.import"] * 2
    asked, file = messages[0]["data"], messages[1]["data"]["lora"]
    assert [image["id"] for image in asked["images"]] == [one["image_id"] for one in subject["references"]]
    assert asked["prompts"] == [{"role": "action", "text": "asleep"}]
    assert (file["size"], file["sha256"]) == (len(lora), sha256(lora).hexdigest())
    assert [(line["kind"], line["outcome"]) for line in log_of(begin, project)] == [
        ("captions", "refused"), ("import", "refused"), ("captions", "allowed"), ("import", "allowed"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", NO_ANSWERS)
def test_without_a_valid_answer_a_closed_policy_refuses_for_now(
    settings: Settings, client: Callable[..., Any], upload: Callable[..., str], begin: UnitOfWork, project: Project,
    name: str,
) -> None:  # fmt: skip
    new = {"name": "Tom", "class_noun": "cat", "references": [upload(color) for color in ("pink", "teal", "gold")]}
    with receiving(NO_ANSWERS[name]) as receiver, client(asking(settings, receiver.url)) as api:
        answer = api.post("/v1/subjects", json=new)
        assert (answer.status_code, answer.json()["code"]) == (503, "policy_unavailable")
        assert (answer.json()["retryable"], answer.headers["retry-after"]) == (True, "5")
        assert api.get("/v1/subjects").json()["data"] == []
    assert [(line["outcome"], line["reason"]) for line in log_of(begin, project)] == [("failed_closed", "no_answer")]


def test_an_open_policy_that_is_away_lets_requests_through_and_the_log_says_so(
    settings: Settings, client: Callable[..., Any], upload: Callable[..., str], begin: UnitOfWork, project: Project
) -> None:
    new = {"name": "Tom", "class_noun": "cat", "references": [upload(color) for color in ("pink", "teal", "gold")]}
    with client(asking(settings, "http://127.0.0.1:9/", fails="open")) as api:
        assert api.post("/v1/subjects", json=new).status_code == 201
    assert [line["outcome"] for line in log_of(begin, project)] == ["failed_open"]


def test_the_example_policy_refuses_a_wrong_signature() -> None:
    with TestClient(make_policy(SECRET, PromptList(()))) as policy:
        answer = policy.post("/", json={"data": {}}, headers={"webhook-id": "m", "webhook-signature": "v1,x"})
        assert (answer.status_code, "POLICY_SECRET" in answer.text) == (401, True)
