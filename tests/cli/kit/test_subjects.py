"""A folder of photos becomes subjects, or one sentence says what is wrong with it."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from cli.kit.subject_list import listed_subjects, write_folders
from cli.kit.subjects import InvalidFolder, named, open_photo, prompts_for, read_subjects

EDITS = "class_noun: dog\nedits: [a photo of a dog jumping, a sks dog asleep]\ncaptions: {a.png: a dog sits}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One subject in LIPE's layout."""
    references = tmp_path / "rex" / "references"
    references.mkdir(parents=True)
    for name in "abc":
        Image.new("RGB", (40, 30)).save(references / f"{name}.png")
    Image.new("RGB", (40, 30)).save(tmp_path / "rex" / "test.jpg")
    (tmp_path / "rex" / "edits.yaml").write_text(EDITS)
    return tmp_path


def test_a_folder_in_lipes_layout(folder: Path) -> None:
    (rex,) = read_subjects(folder)
    assert (rex.name, rex.class_noun, rex.category, len(rex.references)) == ("rex", "dog", "animal", 3)
    assert rex.edits == ("a photo of a sks dog jumping", "a sks dog asleep")
    assert rex.source_prompt == "a photo of sks dog"
    assert rex.captions == ("a dog sits", None, None)
    assert rex.edit_request(3).seeds == (3,)


def test_a_folder_in_dreambooths_layout(tmp_path: Path) -> None:
    (tmp_path / "prompts_and_classes.txt").write_text("Classes\nsubject_name,class\ndog6,dog\nvase,vase\n\nPrompts\n")
    for name in ("dog6", "vase"):
        (tmp_path / name).mkdir()
        for number in range(5):
            Image.new("RGB", (40, 30)).save(tmp_path / name / f"0{number}.jpg")
    dog, vase = read_subjects(tmp_path)
    assert (dog.test.name, len(dog.references), dog.category) == ("04.jpg", 4, "animal")
    assert (vase.category, len(vase.edits)) == ("object", 4)
    assert all("sks vase" in edit for edit in vase.edits)


def test_every_class_has_four_prompts_that_name_it() -> None:
    for noun in ("dog", "person", "glasses", "something else"):
        _, edits = prompts_for(noun)
        assert len(set(edits)) == 4
        assert all(noun in edit for edit in edits)


def test_a_photo_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    Image.new("RGB", (40, 30)).save(tmp_path / "photo.jpg", exif=exif)
    assert open_photo(tmp_path / "photo.jpg").size == (30, 40)


def yaml(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "rex" / "edits.yaml").write_text(text)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda folder: (folder / "rex" / "test.jpg").unlink(), "needs one image that is named test"),
        (lambda folder: (folder / "rex" / "references" / "a.png").unlink(), "has 2 references: 3 to 20"),
        (lambda folder: (folder / "rex" / "edits.yaml").unlink(), "edits.yaml cannot be read"),
        (yaml("- a list"), "must hold the keys"),
        (yaml("class_noun: dog\nedits: [a dog]\nedit: x"), "unknown keys edit"),
        (yaml("class_noun: dog"), "needs a class_noun and a list of edits"),
        (yaml("class_noun: dog\nedits: [a cat]"), "does not name the dog"),
        (yaml("class_noun: dog\nedits: [a dog]\ncategory: plant"), "category must be one of"),
        (yaml("class_noun: dog\nedits: [a dog]\ncaptions: {z.png: x}"), "unknown: ['z.png']"),
        (yaml("class_noun: [\n"), "cannot be read"),
    ],
)
def test_what_is_wrong_is_said(folder: Path, damage: Callable[[Path], object], sentence: str) -> None:
    damage(folder)
    with pytest.raises(InvalidFolder) as refused:
        read_subjects(folder)
    assert sentence in str(refused.value)


def test_a_file_that_is_no_image_is_named(folder: Path) -> None:
    (folder / "rex" / "test.jpg").write_text("no image")
    (rex,) = read_subjects(folder)
    with pytest.raises(InvalidFolder, match=r"test\.jpg cannot be read as an image"):
        rex.edit_request(0)


@pytest.mark.parametrize(("name", "sentence"), [("missing", "is not a folder"), ("", "holds no folder of a subject")])
def test_a_folder_without_subjects(tmp_path: Path, name: str, sentence: str) -> None:
    with pytest.raises(InvalidFolder, match=sentence):
        read_subjects(tmp_path / name)


def test_the_list_has_28_subjects_in_the_papers_kinds_with_four_edits_each(tmp_path: Path) -> None:
    listed = listed_subjects()
    assert Counter(subject.category for subject in listed) == {"animal": 10, "object": 12, "person": 6}
    assert len({subject.name for subject in listed}) == 28
    for subject in listed:
        assert len(set(subject.edits)) == 4
        assert all(named(edit, subject.class_noun) for edit in subject.edits)
    assert len(write_folders(tmp_path)) == 28
    assert write_folders(tmp_path) == []
    with pytest.raises(InvalidFolder, match="no folder of a subject with photos"):
        read_subjects(tmp_path)
    for place in ("references/1.jpg", "references/2.jpg", "references/3.jpg", "test.jpg"):
        Image.new("RGB", (40, 30)).save(tmp_path / "hamster" / place)
    (hamster,) = read_subjects(tmp_path)
    assert hamster.edits[1] == "a photo of a sks hamster lying asleep"
