"""Action prompts for a class, written by a language model behind an OpenAI-compatible chat endpoint.

LIPE, section 3.2 (https://arxiv.org/abs/2406.17236): GPT-4 writes them there; here any service or local server that
speaks https://platform.openai.com/docs/api-reference/chat with a JSON schema as response format. The answers are text
from outside: each prompt is validated, and only what passes is kept. Who gets an error may fall back to the built-in
bank, `captions.class_prompts`; nothing here does so by itself.
"""

import hashlib
import json
import os
import re
import secrets
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai

from lipe_core.errors import EndpointRefused, EndpointUnavailable, InvalidSubject, UnusableAnswer
from lipe_core.subject import Subject

QUESTION_VERSION = 1
"""Part of the cache's key: raise it with every change of the question or of what passes."""

LONGEST_PROMPT = 200
MOST_PROMPTS = 500
_LONGEST_ANSWER = 400_000
_SHOWN_COMPLAINTS = 8
_ROLE = "You write prompts for a text-to-image model. You answer with JSON only."
_QUESTION = (
    "Write {count} different prompts for photos of one {noun}, as a list under the key 'prompts'. Each is one phrase "
    "in English of at most 30 words, begins with 'a photo of', and names the {noun} by exactly that word. Each says "
    "what the {noun} does or in which pose or state it is, its expression if it has a face, from where it is seen, and "
    "what is around it. Vary actions, poses and views as widely as you can. Do not mention its colour, breed, brand "
    "or accessories. Use letters, spaces, commas and hyphens only."
)
_SCHEMA = {
    "type": "object",
    "properties": {"prompts": {"type": "array", "items": {"type": "string"}}},
    "required": ["prompts"],
    "additionalProperties": False,
}
_RESPONSE_FORMAT = {"type": "json_schema", "json_schema": {"name": "prompts", "strict": True, "schema": _SCHEMA}}


@dataclass(frozen=True)
class ChatEndpoint:
    """Where to ask whom. `timeout` in seconds an attempt; `retries` are of requests that failed on the way.

    `base_url` ends before "/chat/completions". A local server that wants no key takes any.
    """

    base_url: str
    api_key: str = field(repr=False)
    model: str
    timeout: float = 60.0
    retries: int = 3

    def __post_init__(self) -> None:
        if not _is_url(self.base_url):
            raise ValueError(f"the base URL must begin with http:// or https:// and a host, got {self.base_url!r}")
        if not self.model.strip():
            raise ValueError("name a model that the endpoint serves")
        if self.timeout <= 0 or self.retries < 0:
            raise ValueError(f"timeout must be above 0 and retries 0 or more, got {self.timeout} and {self.retries}")


def write_class_prompts(
    endpoint: ChatEndpoint, class_noun: str, count: int, *, cache: Path | None = None, attempts: int = 3
) -> list[str]:
    """`count` distinct prompts that name the class noun, from the model, or from `cache` if they were ever written.

    A model that gives too few usable prompts is told why and asked for the rest, `attempts` times in all. Raises
    ClassPromptsError, and ValueError for arguments that cannot be.
    """
    if not 1 <= count <= MOST_PROMPTS or attempts < 1:
        raise ValueError(f"ask for 1 to {MOST_PROMPTS} prompts in at least one attempt, got {count} in {attempts}")
    try:
        Subject("_token_", class_noun)
    except InvalidSubject as error:
        raise ValueError(str(error)) from error
    if cache is None:
        return _written(endpoint, class_noun, count, attempts)
    key = json.dumps([endpoint.model, class_noun, count, QUESTION_VERSION])
    file = cache / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
    return _read(file, class_noun, count) or _keep(
        _written(endpoint, class_noun, count, attempts), file, class_noun, count
    )


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        return False


def _written(endpoint: ChatEndpoint, class_noun: str, count: int, attempts: int) -> list[str]:
    kept: list[str] = []
    complaints: list[str] = []
    with openai.OpenAI(
        base_url=endpoint.base_url,
        api_key=endpoint.api_key or "none",
        timeout=endpoint.timeout,
        max_retries=endpoint.retries,
    ) as client:
        for _ in range(attempts):
            answer = _ask(client, endpoint, _question(class_noun, count - len(kept), kept, complaints))
            kept, complaints = _accept(_prompts_in(answer), kept, class_noun, count)
            if len(kept) == count:
                return kept
    raise UnusableAnswer(
        f"{endpoint.model} wrote {len(kept)} of {count} usable prompts for {class_noun!r} in {attempts} attempts; the "
        f"last answer: {'; '.join(complaints[:_SHOWN_COMPLAINTS]) or 'too few'}. Ask for fewer, or take a larger model"
    )


def _question(class_noun: str, count: int, kept: Sequence[str], complaints: Sequence[str]) -> str:
    """One message for all: strict chat templates allow no two messages of the user in a row."""
    parts = [_QUESTION.format(count=count, noun=class_noun)]
    if complaints:
        parts.append("An earlier answer was wrong: " + "; ".join(complaints[:_SHOWN_COMPLAINTS]) + ".")
    if kept:
        parts.append("These exist already, write others: " + json.dumps(kept))
    return "\n\n".join(parts)


def _ask(client: openai.OpenAI, endpoint: ChatEndpoint, question: str) -> str:
    """The model's answer, "" where there is none. Errors of the way there lose their cause: it may show the key."""
    messages = [{"role": "system", "content": _ROLE}, {"role": "user", "content": question}]
    try:
        completion = client.chat.completions.create(
            model=endpoint.model, messages=messages, response_format=_RESPONSE_FORMAT
        )
    except openai.APIStatusError as error:
        passes = error.status_code in {408, 409, 429} or error.status_code >= 500
        kind = EndpointUnavailable if passes else EndpointRefused
        raise kind(f"{endpoint.base_url} answered {error.status_code}: {_shown(error, endpoint)}") from None
    except openai.APIConnectionError as error:
        raise EndpointUnavailable(f"{endpoint.base_url} did not answer: {_shown(error, endpoint)}") from None
    except ValueError:  # a body that says it is JSON and is not
        return ""
    choices = getattr(completion, "choices", None)  # the client checks no types; what is no JSON arrives as a str
    first = choices[0] if isinstance(choices, list) and choices else None
    content = getattr(getattr(first, "message", None), "content", None)
    return content if isinstance(content, str) else ""


def _shown(error: openai.APIError, endpoint: ChatEndpoint) -> str:
    text = error.message.replace(endpoint.api_key, "***") if endpoint.api_key else error.message
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]


def _prompts_in(answer: str) -> list[Any]:
    """The list in an answer, which some servers wrap in a Markdown fence; empty where there is none."""
    start, end = answer.find("{"), answer.rfind("}")
    if len(answer) > _LONGEST_ANSWER or start < 0:
        return []
    try:
        prompts = json.loads(answer[start : end + 1])["prompts"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    return prompts if isinstance(prompts, list) else []


def _accept(prompts: Iterable[Any], kept: Sequence[str], class_noun: str, count: int) -> tuple[list[str], list[str]]:
    """The kept prompts with those of the new ones that pass, at most `count`; and what is wrong with the others."""
    accepted, complaints = list(kept), []
    seen = {prompt.casefold() for prompt in kept}
    for prompt in prompts:
        if len(accepted) == count:
            break
        plain = _normalised(prompt) if isinstance(prompt, str) else ""
        if fault := _fault(plain, class_noun, seen):
            complaints.append(f"{plain[:60]!r} {fault}")
        else:
            accepted.append(plain)
            seen.add(plain.casefold())
    if len(accepted) == len(kept) and not complaints:
        complaints = ["it was no JSON object with a list of strings under 'prompts'"]
    elif len(accepted) < count:
        complaints.append(f"{count - len(accepted)} prompts are missing")
    return accepted, complaints


def _normalised(prompt: str) -> str:
    plain = unicodedata.normalize("NFKC", prompt[: 2 * LONGEST_PROMPT]).replace("\u2019", "'").replace("\u2013", "-")
    return re.sub(" +", " ", plain).strip(" ").removesuffix(".")


def _fault(prompt: str, class_noun: str, seen: set[str]) -> str:
    """What is wrong with a prompt, "" if nothing. One phrase of plain words leaves no room for a second sentence."""
    if len(prompt) > LONGEST_PROMPT:
        return f"is longer than {LONGEST_PROMPT} characters"
    if not re.match(r"a photo of ", prompt, re.IGNORECASE):
        return "does not begin with 'a photo of'"
    if not re.search(rf"\b{re.escape(class_noun)}\b", prompt, re.IGNORECASE):
        return f"does not name {class_noun!r}"
    if re.search(r"[^\w ,'()-]", prompt):
        return "is not one phrase of plain words"
    return "is there twice" if prompt.casefold() in seen else ""


def _read(file: Path, class_noun: str, count: int) -> list[str] | None:
    """Prompts that were kept, None if there are none or the file is damaged."""
    try:
        prompts, _ = _accept(_prompts_in(file.read_text()), [], class_noun, count)
    except (OSError, UnicodeDecodeError):
        return None
    return prompts if len(prompts) == count else None


def _keep(prompts: list[str], file: Path, class_noun: str, count: int) -> list[str]:
    """Write the file whole or not at all. Who is first wins: all get the same prompts, so the same pictures."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"{file.name}.{secrets.token_hex(4)}.part")
    try:
        unfinished.write_text(json.dumps({"class_noun": class_noun, "prompts": prompts}, indent=2, ensure_ascii=False))
        try:
            os.link(unfinished, file)  # fails where the file is, as a rename would not
        except FileExistsError:
            if known := _read(file, class_noun, count):
                return known
            os.replace(unfinished, file)
    finally:
        unfinished.unlink(missing_ok=True)
    return prompts
