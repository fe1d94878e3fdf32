"""The operator's policy: an HTTP server that may refuse prompts, references and results.

A question is one POST, signed as a webhook is. The URL comes from the operator, so it may lead to a private network.
Redirects and proxies are not followed, and the whole exchange has one deadline. Never ask inside a transaction: the
answer may take seconds.
"""

import json
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

from pydantic import BaseModel, StringConstraints

from ledger.artefacts import NewArtefact
from ledger.decisions import CODE, Kind, NewDecision, Outcome, digest
from ledger.models import Image, new_id
from ledger.safehttp import Unreachable, post
from ledger.settings import Settings
from ledger.storage import Storage, StoredObject
from ledger.webhook_signing import headers

URL_SECONDS = 300
"""The lifetime of the signed URLs in a question."""
LONGEST_REASON = 500
DEFAULT_REASON = "the operator's policy refuses this request"
Code = Annotated[str, StringConstraints(pattern=rf"^{CODE.pattern}$")]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Question:
    """What the policy is asked about: the JSON `data`, the ids of its resources and the texts in it, for the log."""

    kind: Kind
    data: Mapping[str, Any]
    ids: Sequence[str]
    texts: Sequence[str] = ()


class Answer(BaseModel):
    """The policy's answer. Other fields are ignored."""

    decision: Literal["allow", "refuse"]
    reason: str = DEFAULT_REASON
    code: Code = "unspecified"
    policy: Code = "policy"


@dataclass(frozen=True)
class Verdict:
    """The decision, and the reason of a refusal in words, for the user. `code` and `policy` go into the log."""

    outcome: Outcome
    reason: str = ""
    code: str | None = None
    policy: str | None = None

    @property
    def is_allowed(self) -> bool:
        """Whether the request may go on."""
        return self.outcome in {"allowed", "failed_open"}

    def decision(self, question: Question, actor: str) -> NewDecision:
        """The entry of the decision log."""
        digests = [digest(text) for text in question.texts]
        return NewDecision(question.kind, self.outcome, actor, question.ids, self.code, self.policy, digests)


def about_prompts(
    project_id: str,
    prompts: Iterable[tuple[str, str]],
    ids: Mapping[str, str | None],
    images: Sequence[Mapping[str, Any]],
) -> Question:
    """A question about texts, as pairs of role and text. `ids`: the resources of the request, by their field."""
    texts = [(role, text) for role, text in prompts if text]
    data = {
        "project_id": project_id,
        **{name: identifier for name, identifier in ids.items() if identifier},
        "prompts": [{"role": role, "text": text} for role, text in texts],
        "images": images,
    }
    return Question("prompt", data, [one for one in ids.values() if one], [text for _, text in texts])


def about_references(
    project_id: str, subject: Mapping[str, Any], images: Sequence[Mapping[str, Any]], captions: Sequence[str | None]
) -> Question:
    """A question about the references of a new or present subject. A new one has no `id` yet."""
    texts = [caption for caption in captions if caption]
    described = [{**image, "caption": caption} for image, caption in zip(images, captions, strict=True)]
    data = {"project_id": project_id, "subject": subject, "images": described}
    ids = [*([str(subject["id"])] if "id" in subject else []), *(str(image["id"]) for image in images)]
    return Question("references", data, ids, texts)


def about_captions(
    project_id: str, subject_id: str, images: Sequence[Mapping[str, Any]], action: str | None
) -> Question:
    """A question about images that a model shall describe, with the action of a wanted image if there is one."""
    texts = [action] if action else []
    prompts = [{"role": "action", "text": text} for text in texts]
    data = {"project_id": project_id, "subject_id": subject_id, "prompts": prompts, "images": images}
    return Question("captions", data, [subject_id, *(str(image["id"]) for image in images)], texts)


def about_import(storage: Storage, project_id: str, ids: Mapping[str, str], lora: StoredObject) -> Question:
    """A question about a LoRA that shall become a prior: its size in bytes, SHA-256 and a signed URL."""
    url = storage.presign_get(lora.key, seconds=URL_SECONDS)
    data = {"project_id": project_id, **ids, "lora": {"size": lora.size, "sha256": lora.sha256, "url": url}}
    return Question("import", data, list(ids.values()))


def about_result(
    storage: Storage, project_id: str, ids: Mapping[str, str], prompt: str, files: Sequence[NewArtefact]
) -> Question:
    """A question about the images of one result of an edit, which are stored and not visible yet."""
    images = [
        {
            "role": file.role,
            "content_type": file.content_type,
            "size": file.stored.size,
            "sha256": file.stored.sha256,
            "url": storage.presign_get(file.stored.key, seconds=URL_SECONDS),
        }
        for file in files
        if not file.role.endswith("_mask")
    ]
    data = {"project_id": project_id, **ids, "prompts": [{"role": "target", "text": prompt}], "images": images}
    return Question("result", data, list(ids.values()), [prompt])


def image_facts(storage: Storage, image: Image) -> dict[str, Any]:
    """An uploaded image in a question: id, width and height in pixels, size in bytes, SHA-256 and a signed URL."""
    facts = {name: getattr(image, name) for name in ("id", "width", "height", "content_type", "size", "sha256")}
    return facts | {"url": storage.presign_get(image.key, seconds=URL_SECONDS)}


def ask(settings: Settings, question: Question) -> Verdict:
    """The policy's verdict. Without a valid answer, the setting `policy_fails` decides, and nothing is raised."""
    moment = datetime.now(UTC).isoformat()
    message = {"type": f"policy.{question.kind}", "timestamp": moment, "data": question.data}
    body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
    fields = headers([settings.policy_secret.get_secret_value()], new_id("msg"), int(time.time()), body)
    try:
        response = post(settings.policy_url, body, fields, seconds=settings.policy_timeout_seconds, allow_private=True)
        if response.status != HTTPStatus.OK:
            raise Unreachable(f"status {response.status}")
        answer = Answer.model_validate_json(response.body)
    except (Unreachable, ValueError) as error:  # ValueError: the URL, or the answer's content
        reason = str(error) if isinstance(error, Unreachable) else f"a {type(error).__name__}"
        log.warning("no answer of the policy about a %s: %s; it fails %s", question.kind, reason, settings.policy_fails)
        return Verdict("failed_open" if settings.policy_fails == "open" else "failed_closed", code="no_answer")
    if answer.decision == "allow":
        return Verdict("allowed", policy=answer.policy)
    return Verdict("refused", _clean(answer.reason) or DEFAULT_REASON, answer.code, answer.policy)


def _clean(reason: str) -> str:
    """The reason in one line without control characters: answers and job errors show it."""
    shown = "".join(character if character.isprintable() else " " for character in reason)
    return " ".join(shown.split())[:LONGEST_REASON]
