"""Class prompts that a language model writes, behind an OpenAI-compatible chat endpoint.

LIPE, section 3.2 (https://arxiv.org/abs/2406.17236), uses GPT-4. Any service or local server works that implements
https://platform.openai.com/docs/api-reference/chat with a JSON schema as response format. Answers are untrusted text:
each prompt is validated, and only valid ones are kept. This module raises its errors; a caller that gets one can use
the built-in bank, `class_prompts.bank_prompts`.
"""

import hashlib
import json
import os
import re
import secrets
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lipe_core.captioning.chat import ChatEndpoint, ask, connected
from lipe_core.errors import InvalidSubject, UnusableAnswer
from lipe_core.subject import Subject

QUESTION_VERSION = 1
"""Part of the cache's key. Increase it with every change of the question or of the validation."""

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


def write_class_prompts(
    endpoint: ChatEndpoint, class_noun: str, count: int, *, cache: Path | None = None, attempts: int = 3
) -> list[str]:
    """`count` distinct prompts that name the class noun, from the folder `cache` or else from the model.

    A model that writes too few usable prompts gets the reasons and a request for the rest, `attempts` requests in all.
    Raises ClassPromptsError, and ValueError for invalid arguments.
    """
    if not 1 <= count <= MOST_PROMPTS or attempts < 1:
        raise ValueError(f"ask for 1 to {MOST_PROMPTS} prompts in at least one attempt, got {count} in {attempts}")
    try:
        Subject("_token_", class_noun)
    except InvalidSubject as error:
        raise ValueError(str(error)) from error
    if cache is None:
        return _ask_until_complete(endpoint, class_noun, count, attempts)
    key = json.dumps([endpoint.model, class_noun, count, QUESTION_VERSION])
    file = cache / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
    if cached := _read(file, class_noun, count):
        return cached
    return _store(_ask_until_complete(endpoint, class_noun, count, attempts), file, class_noun, count)


def _ask_until_complete(endpoint: ChatEndpoint, class_noun: str, count: int, attempts: int) -> list[str]:
    kept: list[str] = []
    complaints: list[str] = []
    with connected(endpoint) as client:
        for _ in range(attempts):
            question = _question(class_noun, count - len(kept), kept, complaints)
            answer = ask(client, endpoint, _ROLE, question, _RESPONSE_FORMAT)
            kept, complaints = _accept(_parse(answer), kept, class_noun, count)
            if len(kept) == count:
                return kept
    raise UnusableAnswer(
        f"{endpoint.model} wrote {len(kept)} of {count} usable prompts for {class_noun!r} in {attempts} attempts; the "
        f"last answer: {'; '.join(complaints[:_SHOWN_COMPLAINTS]) or 'too few'}. Ask for fewer, or use a larger model"
    )


def _question(class_noun: str, count: int, kept: Sequence[str], complaints: Sequence[str]) -> str:
    """All in one message, because strict chat templates refuse two user messages in a row."""
    parts = [_QUESTION.format(count=count, noun=class_noun)]
    if complaints:
        parts.append("An earlier answer was wrong: " + "; ".join(complaints[:_SHOWN_COMPLAINTS]) + ".")
    if kept:
        parts.append("These exist already, write others: " + json.dumps(kept))
    return "\n\n".join(parts)


def _parse(answer: str) -> list[Any]:
    """The list of prompts in an answer, which some servers wrap in a Markdown fence; empty where there is none."""
    start, end = answer.find("{"), answer.rfind("}")
    if len(answer) > _LONGEST_ANSWER or start < 0:
        return []
    try:
        prompts = json.loads(answer[start : end + 1])["prompts"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    return prompts if isinstance(prompts, list) else []


def _accept(prompts: Iterable[Any], kept: Sequence[str], class_noun: str, count: int) -> tuple[list[str], list[str]]:
    """The kept prompts and the valid ones of the new, at most `count` in all; and the faults of the others."""
    accepted, complaints = list(kept), []
    seen = {prompt.casefold() for prompt in kept}
    for prompt in prompts:
        if len(accepted) == count:
            break
        plain = normalized(prompt) if isinstance(prompt, str) else ""
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


def normalized(prompt: str) -> str:
    plain = unicodedata.normalize("NFKC", prompt[: 2 * LONGEST_PROMPT]).replace("\u2019", "'").replace("\u2013", "-")
    return re.sub(" +", " ", plain).strip(" ").removesuffix(".")


def _fault(prompt: str, class_noun: str, seen: set[str]) -> str:
    """The fault of a prompt, "" if it is valid. Only one phrase of plain words is valid: no second sentence fits in."""
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
    """The prompts in the file, None if it does not exist or is damaged."""
    try:
        prompts, _ = _accept(_parse(file.read_text()), [], class_noun, count)
    except (OSError, UnicodeDecodeError):
        return None
    return prompts if len(prompts) == count else None


def _store(prompts: list[str], file: Path, class_noun: str, count: int) -> list[str]:
    """Write the file atomically and return its prompts.

    The first writer wins: every process then has the same prompts, and so the same regularization set.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"{file.name}.{secrets.token_hex(4)}.part")
    try:
        unfinished.write_text(json.dumps({"class_noun": class_noun, "prompts": prompts}, indent=2, ensure_ascii=False))
        try:
            os.link(unfinished, file)  # fails if the file exists; a rename would replace it
        except FileExistsError:
            if stored := _read(file, class_noun, count):
                return stored
            os.replace(unfinished, file)
    finally:
        unfinished.unlink(missing_ok=True)
    return prompts
