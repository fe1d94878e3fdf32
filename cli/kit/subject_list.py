"""The list of 28 subjects with four edits each, and their folders without photos."""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import yaml

from cli.kit.subjects import EDITS_FILE, REFERENCES


@dataclass(frozen=True)
class ListedSubject:
    """A subject to photograph. `photos` says what to take; `edits` are prompts, which name the class noun."""

    name: str
    category: str
    class_noun: str
    photos: str
    edits: tuple[str, ...]


def listed_subjects() -> list[ListedSubject]:
    """All subjects of the list, in its order."""
    kinds = yaml.safe_load(files(__package__).joinpath("subject_list.yaml").read_text())
    return [
        ListedSubject(
            name,
            category,
            facts["noun"],
            facts["photos"],
            tuple(f"a photo of {edit.replace('NOUN', facts['noun'])}" for edit in facts["edits"]),
        )
        for category, subjects in kinds.items()
        for name, facts in subjects.items()
    ]


def write_folders(folder: Path) -> list[Path]:
    """Write a folder for each subject with its `edits.yaml`; files that exist stay. Returns the new folders."""
    written = []
    for subject in listed_subjects():
        target = folder / subject.name
        (target / REFERENCES).mkdir(parents=True, exist_ok=True)
        if not (target / EDITS_FILE).exists():
            facts = {"class_noun": subject.class_noun, "category": subject.category, "edits": list(subject.edits)}
            text = yaml.safe_dump(facts, sort_keys=False, width=120)
            hint = f"# {subject.photos}: 3 to 5 photos as references/*.jpg, in different places, and one as test.jpg\n"
            (target / EDITS_FILE).write_text(hint + text)
            written.append(target)
    return written
