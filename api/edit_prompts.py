"""The texts of an edit's request: what the models read, and whether it names the subject."""

import re
from typing import Any

from api.edit_request import NewEdit
from api.problems import Problem


def require_subject(new_edit: NewEdit, phrase: str) -> None:
    """Raise Problem unless every prompt names the subject as `phrase` ("sks dog")."""
    named = re.compile(rf"(?<!\w){re.escape(phrase)}(?!\w)", re.IGNORECASE)
    for param, prompt in _prompts(new_edit):
        if not prompt:
            raise Problem("prompt_empty", f"describe the image, naming {phrase!r}", param=param)
        if not named.search(prompt):
            raise Problem("prompt_without_subject", f"write {phrase!r} in the prompt {prompt!r}", param=param)


def prompts_of(new_edit: NewEdit) -> list[tuple[str, str]]:
    """All texts of the request that the models read, as pairs of role and text."""
    one = {"target": new_edit.prompt, "action": new_edit.action, "source": new_edit.source_prompt}
    others = one | {"negative": new_edit.negative_prompt}
    targets = [("target", prompt) for prompt in new_edit.prompts or []]
    return targets + [(role, text) for role, text in others.items() if text]


def _prompts(new_edit: NewEdit) -> list[tuple[str, Any]]:
    many = [(f"prompts[{position}]", prompt) for position, prompt in enumerate(new_edit.prompts or [])]
    one = [("prompt", new_edit.prompt), ("source_prompt", new_edit.source_prompt)]
    return many + [(param, prompt) for param, prompt in one if prompt is not None]
