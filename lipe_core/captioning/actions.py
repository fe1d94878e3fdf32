"""The target prompt of an edit, from the caption of the source and the wanted action, by grammar.

A caption names the scene, which the edit must keep; a user names the change. "A photo of sks dog sitting in a meadow,
seen from the side" with "jumping" becomes "a photo of sks dog jumping in a meadow, seen from the side". A language
model does it better (`target_prompt.py`); this needs none and never fails.
"""

import re

from lipe_core.subject import Subject

_PLACES = (
    "in", "on", "at", "near", "under", "beside", "behind", "inside", "outside", "against", "above", "below", "among",
    "between", "by", "next to",
)  # fmt: skip
_STATES = (
    "closed", "opened", "open", "asleep", "awake", "upright", "upside down", "calm", "surprised", "tilted",
    "curled up", "stretched out", "seated", "turned",
)  # fmt: skip
_KINDS = {
    "gaze": {"looking", "facing", "gazing", "staring", "turned"},
    "expression": {"smiling", "grinning", "laughing", "frowning", "calm", "surprised"},
    "clothes": {"wearing"},
}
"""Words that do not begin a pose. A pose replaces a pose, and a gaze a gaze; "with its arms up" replaces the arms."""
_AUXILIARY = r"(?:(?:that|who|which)\s+)?(?:(?:is|are|was)\s+)?"
_PART = r"with\s+(?:its|his|her|their)\s+\w+"
_ACTION = rf"(?:{_PART}|\w{{2,}}ing|{'|'.join(map(re.escape, _STATES))})\b"
_PLACE = rf"\b(?:{'|'.join(map(re.escape, _PLACES))})\b"
_END = rf"(?=\s*(?:[,;.]|$|\b(?:with|while|and)\b|{_PLACE}))"
_CLAUSE = re.compile(
    rf"(?:^|[,;]|\b(?:and|while)\b)\s*(?P<action>{_AUXILIARY}(?P<first>{_ACTION})[^,;.]*?){_END}", re.IGNORECASE
)


def replace_action(caption: str, action: str, subject: Subject) -> str:
    """The caption with the subject's action replaced by `action`.

    A caption without an action of that kind keeps all its words. An action with a place of its own ("lying in the
    snow") replaces the place that follows the old one, too. The result names the subject.
    """
    plain, wanted = (" ".join(text.split()).rstrip(" .,") for text in (caption, action))
    noun = rf"(?:(?:an?|the)\s+)?(?:{re.escape(subject.token)}\s+)?{re.escape(subject.class_noun)}"
    wanted = re.sub(rf"^{noun}\s+(?:is\s+)?", "", wanted, flags=re.IGNORECASE)
    named = re.search(rf"\b{re.escape(subject.phrase)}\b", plain, re.IGNORECASE)
    if named is None:
        return f"a photo of {subject.phrase} {wanted}, {plain}".rstrip(", ")
    head, tail = plain[: named.end()], plain[named.end() :].lstrip()
    before, after = _around_action(tail, _kind(wanted))
    if _kind(wanted) == "gaze" or re.search(_PLACE, wanted, re.IGNORECASE):
        after = re.sub(rf"^\s*{_PLACE}[^,;.]*", "", after, flags=re.IGNORECASE)
    joined = " ".join(part for part in (head, before.strip(), wanted, after.strip()) if part)
    return re.sub(r"\s+([,;])", r"\1", joined)


def _around_action(tail: str, kind: str) -> tuple[str, str]:
    """The text behind the subject's name, before and after its first action of this kind; all is after without one."""
    for clause in _CLAUSE.finditer(tail):
        if _kind(clause["first"]) == kind:
            return tail[: clause.start("action")], tail[clause.end("action") :]
    return "", tail


def _kind(action: str) -> str:
    words = action.lower().split()
    if re.match(_PART, action, re.IGNORECASE):
        return words[2]
    return next((kind for kind, first_words in _KINDS.items() if words and words[0] in first_words), "pose")
