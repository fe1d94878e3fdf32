"""The input of the demo: a drawn subject of the benchmark, or the user's own files."""

import glob
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from lipe_client import NewConsent
from menagerie.attributes import Drawing
from menagerie.captions import edit_prompt
from menagerie.draw import render
from menagerie.subjects import TOKEN, DrawnEdit, DrawnSubject


@dataclass(frozen=True)
class PlannedEdit:
    """One edit: a label for the sheet, the prompt, and the true result with its file if they are known."""

    label: str
    prompt: str
    truth: Path | None = None
    drawn: DrawnEdit | None = None


@dataclass(frozen=True)
class Scenario:
    """The input of the demo: a subject with its references, a test image, and the edits to request.

    `drawn_test` is the drawing of the test image, if it is one.
    """

    name: str
    class_noun: str
    references: tuple[Path, ...]
    test: Path
    edits: tuple[PlannedEdit, ...]
    consent: NewConsent | None = None
    drawn_test: Drawing | None = None


def drawn_scenario(drawn: DrawnSubject, folder: Path) -> Scenario:
    """A benchmark subject, rendered to files in `folder`, with its edits of one attribute: pose, head, expression."""
    folder.mkdir(parents=True, exist_ok=True)

    def draw(drawing: Drawing, name: str) -> Path:
        Image.fromarray(render(drawing)).save(folder / f"{name}.png")
        return folder / f"{name}.png"

    return Scenario(
        name=drawn.name,
        class_noun=drawn.identity.class_noun,
        references=tuple(draw(drawing, f"reference-{k}") for k, drawing in enumerate(drawn.references, start=1)),
        test=draw(drawn.test, "test"),
        edits=tuple(
            PlannedEdit(_label(edit), edit_prompt(edit.truth, TOKEN), draw(edit.truth, f"truth-{k}"), edit)
            for k, edit in enumerate((edit for edit in drawn.edits if len(edit.changed) == 1), start=1)
        ),
        drawn_test=drawn.test,
    )


def user_scenario(class_noun: str, pattern: str, prompt: str, *, consent: str) -> Scenario:
    """The user's own files. The last one is the test image, the others are the references."""
    files = [Path(name) for word in pattern.split() for name in sorted(glob.glob(word))]
    if not 4 <= len(files) <= 6:
        raise SystemExit(f"REFS={pattern!r} names {len(files)} files: 3 to 5 references and, last, the test image")
    receipt = NewConsent(consent, "edits by the demo of LIPE") if consent else None
    return Scenario("mine", class_noun, tuple(files[:-1]), files[-1], (PlannedEdit("edit", prompt),), consent=receipt)


def _label(edit: DrawnEdit) -> str:
    (changed,) = edit.changed
    return f"{changed}: {getattr(edit.truth.action, changed)}"
