"""Whether an edit is one that a person would keep, by a vision-language model behind an OpenAI-compatible endpoint.

The model sees the photo, two references and the edit, and answers three questions. Its answers are opinions of that
model: report its name with them, and look at some of the edits yourself.
"""

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import openai
from PIL import Image

from lipe_core.captioning.chat import ChatEndpoint

LARGEST_SIDE = 768
QUESTIONS = {
    "done": "In the edit, does the subject do what the prompt says?",
    "same": "Is the subject of the edit the same individual as in the references?",
    "whole": "Is the edit free of faults that a person would see: double or cut-off parts, ghosts, smears, seams?",
}
_SCHEMA = {
    "type": "object",
    "properties": {name: {"type": "boolean"} for name in QUESTIONS},
    "required": list(QUESTIONS),
    "additionalProperties": False,
}
_FORMAT = {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": _SCHEMA}}


class NoVerdict(RuntimeError):
    """The endpoint gave no usable answer; the message says why."""


@dataclass(frozen=True)
class Verdict:
    """The model's answers. An edit is clean if all are yes."""

    done: bool
    same: bool
    whole: bool

    @property
    def is_clean(self) -> bool:
        """Whether a person would keep the edit, in the model's opinion."""
        return self.done and self.same and self.whole


def judge(
    endpoint: ChatEndpoint, prompt: str, source: Image.Image, references: Sequence[Image.Image], edited: Image.Image
) -> Verdict:
    """Ask about one edit. Raises NoVerdict."""
    parts: list[Any] = [_text("Image 1 is the photo. The next ones are references of its subject.")]
    parts += [_image(image) for image in (source, *references[:2])]
    parts += [_text(f"The last image is an edit of the photo. Its prompt: {prompt!r}."), _image(edited)]
    parts += [_text(" ".join(f"{name}: {question}" for name, question in QUESTIONS.items()) + " Answer with JSON.")]
    with openai.OpenAI(
        base_url=endpoint.base_url,
        api_key=endpoint.api_key or "none",
        timeout=endpoint.timeout,
        max_retries=endpoint.retries,
    ) as client:
        try:
            completion = client.chat.completions.create(
                model=endpoint.model,
                messages=[{"role": "user", "content": parts}],
                response_format=_FORMAT,
                temperature=0,
            )
            answer = json.loads(completion.choices[0].message.content or "")
            return Verdict(**{name: _boolean(answer[name]) for name in QUESTIONS})
        except openai.OpenAIError as error:
            raise NoVerdict(f"{endpoint.base_url} did not answer: {error}"[:300]) from None
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise NoVerdict(f"{endpoint.model} did not answer with the JSON that was asked for: {error}") from error


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _image(image: Image.Image) -> dict[str, Any]:
    small = image.convert("RGB")
    small.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    content = io.BytesIO()
    small.save(content, "JPEG", quality=90)
    url = f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}
