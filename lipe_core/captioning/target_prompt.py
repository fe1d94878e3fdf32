"""The target prompt of an edit, from the caption of the source and the wanted action, by a language model.

Its answer is untrusted text: it is used only if it is one plain phrase that names the subject. This module raises its
errors; a caller that gets one can use the grammar, `actions.replace_action`.
"""

import json
import re

from lipe_core.captioning.chat import ChatEndpoint, ask, connected
from lipe_core.captioning.prompt_writer import normalized
from lipe_core.errors import UnusableAnswer
from lipe_core.subject import Subject

LONGEST_PROMPT = 400
"""Characters. SDXL reads 75 tokens of a prompt, about 300 letters."""
_ROLE = "You write prompts for a text-to-image model. You answer with JSON only."
_QUESTION = (
    "This caption describes a photo: {caption}. In a new photo of the same scene, the {noun} is: {action}. Write the "
    "caption of the new photo under the key 'prompt'. Keep the words {phrase} and all that is said of the place, the "
    "light and the view. Replace only what the {noun} does, its pose, its expression or its state, and leave out what "
    "contradicts it. One phrase of at most 50 words, with letters, digits, commas, hyphens and apostrophes only."
)
_SCHEMA = {
    "type": "object",
    "properties": {"prompt": {"type": "string"}},
    "required": ["prompt"],
    "additionalProperties": False,
}
_RESPONSE_FORMAT = {"type": "json_schema", "json_schema": {"name": "prompt", "strict": True, "schema": _SCHEMA}}


def write_target_prompt(endpoint: ChatEndpoint, caption: str, action: str, subject: Subject) -> str:
    """The caption with the action replaced. Raises UnusableAnswer, EndpointRefused and EndpointUnavailable."""
    question = _QUESTION.format(
        caption=json.dumps(caption, ensure_ascii=False),
        action=json.dumps(action, ensure_ascii=False),
        noun=subject.class_noun,
        phrase=json.dumps(subject.phrase),
    )
    with connected(endpoint) as client:
        answer = ask(client, endpoint, _ROLE, question, _RESPONSE_FORMAT)
    prompt = _prompt_in(answer)
    named = re.search(rf"\b{re.escape(subject.phrase)}\b", prompt, re.IGNORECASE)
    if not named or not re.fullmatch(r"[\w ,'-]+", prompt):
        raise UnusableAnswer(f"{endpoint.model} wrote no prompt that names {subject.phrase!r}: {prompt[:80]!r}")
    return prompt


def _prompt_in(answer: str) -> str:
    """The prompt in an answer, which some servers wrap in a Markdown fence; "" without one, or if it is too long."""
    try:
        found = json.loads(answer[answer.find("{") : answer.rfind("}") + 1])["prompt"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return normalized(found) if isinstance(found, str) and len(found) <= LONGEST_PROMPT else ""
