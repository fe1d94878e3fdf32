"""The subjects of a folder of photos, in LIPE's layout or in that of DreamBooth's data set.

LIPE's layout has a folder for each subject:

    SUBJECT/references/*.jpg    3 to 20 images
    SUBJECT/test.jpg            the image that is edited
    SUBJECT/mask.png            white where the photo may change, if the methods shall not find the region
    SUBJECT/edits.yaml          class_noun, category, edits; perhaps source_prompt and captions

DreamBooth's data set (https://github.com/google/dreambooth, folder `dataset`) has the images of a subject in one
folder, and `prompts_and_classes.txt` beside the folders. The last image of a folder is then the test image, and the
prompts come from `prompts.yaml` of this package.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import yaml
from PIL import Image, ImageOps

from lipe_core.methods.request import EditRequest
from lipe_core.subject import Category, Subject
from lipe_core.training.learn import LearnRequest

TOKEN = "sks"  # noqa: S105 (a word, not a secret)
_IMAGES = {".jpg", ".jpeg", ".png", ".webp", ".heic", ".avif"}
_CLASSES = "prompts_and_classes.txt"
EDITS_FILE = "edits.yaml"
REFERENCES = "references"
_KEYS = {"class_noun", "category", "edits", "source_prompt", "captions"}


class InvalidFolder(ValueError):
    """The folder holds no subjects that can be read; the message says what is wrong where."""


@dataclass(frozen=True)
class PhotoSubject:
    """The files of one subject and its edits. Prompts name the subject as `sks CLASS_NOUN`."""

    name: str
    class_noun: str
    category: Category
    references: tuple[Path, ...]
    test: Path
    edits: tuple[str, ...]
    source_prompt: str
    captions: tuple[str | None, ...]
    mask: Path | None = None

    def learn_request(self) -> LearnRequest:
        """The request of the training."""
        images = tuple(open_photo(file) for file in self.references)
        return LearnRequest(Subject(TOKEN, self.class_noun), images, self.category, self.captions)

    def edit_request(self, seed: int) -> EditRequest:
        """The request of all edits."""
        references = tuple(open_photo(file) for file in self.references)
        subject = Subject(TOKEN, self.class_noun)
        test = open_photo(self.test)
        mask = open_photo(self.mask).convert("L") if self.mask else None
        return EditRequest(
            test, self.source_prompt, self.edits, subject, seeds=(seed,), references=references, mask=mask
        )


def open_photo(file: Path) -> Image.Image:
    """A photo as RGB, upright. Raises InvalidFolder for a file that is no image."""
    try:
        with Image.open(file) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidFolder(f"{file} cannot be read as an image: {error}") from error


def read_subjects(folder: Path) -> list[PhotoSubject]:
    """All subjects of the folder, by name; those without any photo yet are left out. Raises InvalidFolder."""
    if not folder.is_dir():
        raise InvalidFolder(f"{folder} is not a folder: give the folder that holds a folder for each subject")
    read = partial(_dreambooth_subject, _classes(folder)) if (folder / _CLASSES).is_file() else _subject
    parts = [part for part in sorted(folder.iterdir()) if part.is_dir() and not part.name.startswith(".")]
    subjects = [read(part) for part in parts if _has_photos(part) or not (part / EDITS_FILE).is_file()]
    if not subjects:
        raise InvalidFolder(f"{folder} holds no folder of a subject with photos")
    return subjects


def _has_photos(folder: Path) -> bool:
    return bool(_images(folder) or _images(folder / REFERENCES))


def _subject(folder: Path) -> PhotoSubject:
    tests = [file for file in _images(folder) if file.stem == "test"]
    if len(tests) != 1:
        raise InvalidFolder(f"{folder} needs one image that is named test, such as test.jpg; it has {len(tests)}")
    facts = _facts(folder / EDITS_FILE)
    references = _references(folder / REFERENCES, _images(folder / REFERENCES))
    noun, edits = facts.get("class_noun"), facts.get("edits")
    if not isinstance(noun, str) or not isinstance(edits, list) or not edits:
        raise InvalidFolder(f"{folder / EDITS_FILE} needs a class_noun and a list of edits")
    category = facts.get("category", "animal")
    if category not in get_args(Category):
        raise InvalidFolder(f"{folder / EDITS_FILE}: category must be one of {', '.join(get_args(Category))}")
    captions = facts.get("captions", {})
    if not isinstance(captions, dict) or (unknown := sorted(set(captions) - {file.name for file in references})):
        raise InvalidFolder(
            f"{folder / EDITS_FILE}: captions must map names of references to texts; unknown: {unknown}"
        )
    return PhotoSubject(
        name=folder.name,
        class_noun=noun,
        category=category,
        references=references,
        test=tests[0],
        edits=tuple(named(str(edit), noun) for edit in edits),
        source_prompt=named(str(facts.get("source_prompt") or f"a photo of {noun}"), noun),
        captions=tuple(captions.get(file.name) for file in references),
        mask=next((file for file in _images(folder) if file.stem == "mask"), None),
    )


def _facts(file: Path) -> dict[str, Any]:
    try:
        facts = yaml.safe_load(file.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InvalidFolder(f"{file} cannot be read: {error}") from error
    if not isinstance(facts, dict):
        raise InvalidFolder(f"{file} must hold the keys {', '.join(sorted(_KEYS))}")
    if unknown := sorted(set(facts) - _KEYS):
        raise InvalidFolder(f"{file} has the unknown keys {', '.join(map(str, unknown))}: use {', '.join(_KEYS)}")
    return facts


def _dreambooth_subject(classes: dict[str, str], folder: Path) -> PhotoSubject:
    images = _images(folder)
    if folder.name not in classes:
        raise InvalidFolder(f"{folder.parent / _CLASSES} names no class for {folder.name}")
    noun = classes[folder.name]
    references = _references(folder, images[:-1])
    category, edits = prompts_for(noun)
    return PhotoSubject(
        name=folder.name,
        class_noun=noun,
        category=category,
        references=references,
        test=images[-1],
        edits=tuple(named(edit, noun) for edit in edits),
        source_prompt=named(f"a photo of {noun}", noun),
        captions=(None,) * len(references),
    )


def _classes(folder: Path) -> dict[str, str]:
    """The class of each subject: the lines `subject,class` of the data set's text file."""
    lines = re.findall(r"^(\w+),([\w' -]+?)\s*$", (folder / _CLASSES).read_text(), re.MULTILINE)
    return {name: noun for name, noun in lines if name != "subject_name"}


def prompts_for(noun: str) -> tuple[Category, list[str]]:
    """The category and the edits of a class in `prompts.yaml`; an unknown class is an object."""
    prompts = yaml.safe_load(files(__package__).joinpath("prompts.yaml").read_text())
    for category, classes in prompts["classes"].items():
        if noun in classes:
            return category, [edit.replace("NOUN", noun) for edit in classes[noun]]
    return "object", [edit.replace("NOUN", noun) for edit in prompts["any object"]]


def named(prompt: str, noun: str) -> str:
    """The prompt with the token before the class noun. Raises InvalidFolder if it does not name the class noun."""
    if re.search(rf"\b{TOKEN} {re.escape(noun)}\b", prompt):
        return prompt
    words, count = re.subn(rf"\b{re.escape(noun)}\b", f"{TOKEN} {noun}", prompt, count=1)
    if not count:
        raise InvalidFolder(f"the prompt {prompt!r} does not name the {noun}: write {noun!r} in it")
    return words


def _references(folder: Path, images: list[Path]) -> tuple[Path, ...]:
    if not 3 <= len(images) <= 20:
        raise InvalidFolder(f"{folder} has {len(images)} references: 3 to 20 are needed, 3 to 5 are enough")
    return tuple(images)


def _images(folder: Path) -> list[Path]:
    return list(_found_images(folder)) if folder.is_dir() else []


def _found_images(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.iterdir()) if file.suffix.lower() in _IMAGES)
