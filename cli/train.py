"""`lipe train`: references to a running service, a learnt prior back."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from cli.remote import LOCAL, ApiKey, Url, followed, service, settings, uploaded
from client import Artefact, Category, Client, Problem, Progress, Subject


def train(
    references: Annotated[
        list[Path] | None, typer.Argument(help="3 to 5 pictures: JPEG, PNG or WebP.", exists=True, dir_okay=False)
    ] = None,
    class_noun: Annotated[str, typer.Option("--class", help="What everybody would call it: dog.")] = "",
    subject: Annotated[str, typer.Option(help="The id of one that is there, in place of pictures and --class.")] = "",
    name: Annotated[str, typer.Option(help="The subject's name; the class unless given.")] = "",
    token: Annotated[str, typer.Option(help="The rare word that will mean it in prompts.")] = "sks",  # noqa: S107
    category: Annotated[Category | None, typer.Option(help="Taken from the class unless given.")] = None,
    captions: Annotated[
        Path | None,
        typer.Option(help="A text file: line 1 describes picture 1. Blank: left to the service.", dir_okay=False),
    ] = None,
    consent: Annotated[bool, typer.Option("--consent", help="The person shown has agreed.")] = False,
    parameter: Annotated[
        list[str] | None, typer.Option(help="A setting of the training: steps=500. Repeatable; /docs lists them.")
    ] = None,
    regularization: Annotated[
        list[str] | None, typer.Option(help="A setting of the class's pictures: count=16. Repeatable.")
    ] = None,
    previews: Annotated[
        Path | None, typer.Option(help="A folder for pictures of what is learnt on the way.", file_okay=False)
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="--no-wait: do not stay until it is learnt.")] = True,
    url: Url = LOCAL,
    api_key: ApiKey = "",
) -> None:
    """Learn a subject; print the ids of the subject and of its prior."""
    if bool(subject) == bool(references) or bool(references) != bool(class_noun):
        raise typer.BadParameter("give either reference pictures and --class, or --subject")
    if subject and (captions or name or category or consent):
        raise typer.BadParameter("--name, --captions, --category and --consent belong to a new subject")
    asked: dict[str, Any] = {
        "parameters": settings(parameter, "--parameter"),
        "regularization": settings(regularization, "--regularization"),
        "previews": None if previews else 0,
    }
    words, console = _captions(captions, references or []), Console(stderr=True)
    with service(url, api_key, console) as lipe:
        if subject:
            job = lipe.train_prior(subject, **asked)
        else:
            with uploaded(lipe, references or []) as images, _kept_if_learnt(
                lipe,
                lipe.create_subject(
                    name=name or class_noun, class_noun=class_noun, token=token, category=category, consent=consent,
                    references=images, captions=words,
                ),
            ) as who:  # fmt: skip
                job = lipe.train_prior(who, **asked)
        print(f"subject {job.subject_id}\nprior {job.prior_id}", flush=True)
        console.print(f"job {job.id}", highlight=False)
        if not wait:
            return
        album = _Album(lipe, previews)
        followed(lipe, job, console, album.show)
        album.complete(job.prior_id or "")


@contextmanager
def _kept_if_learnt(lipe: Client, subject: Subject) -> Iterator[Subject]:
    """The subject; where its training is refused, it is not left there."""
    try:
        yield subject
    except Problem:
        with suppress(Problem):
            lipe.delete_subject(subject)
        raise


@dataclass
class _Album:
    """Each preview once, as a file of the folder; none without a folder."""

    lipe: Client
    folder: Path | None
    names: set[str] = field(default_factory=set)

    def show(self, progress: Progress) -> None:
        """Save the preview that the event brings, if it is a new one. One that is gone again was a stopped job's."""
        if progress.preview:
            with suppress(Problem):
                self._save(progress.preview)

    def complete(self, prior_id: str) -> None:
        """Save those that came between two events, too."""
        if self.folder:
            for artefact in self.lipe.prior(prior_id).artefacts:
                if artefact.role == "preview":
                    self._save(artefact)

    def _save(self, preview: Artefact) -> None:
        if self.folder and preview.name not in self.names:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.lipe.download(preview, self.folder / preview.name)
            self.names.add(preview.name)


def _captions(file: Path | None, references: Sequence[Path]) -> list[str | None] | None:
    if file is None:
        return None
    try:
        lines = [line.strip() or None for line in file.read_text().splitlines()]
    except (OSError, UnicodeError) as error:
        raise typer.BadParameter(f"--captions: cannot read {file}: {error}") from error
    if len(lines) != len(references):
        told = f"--captions: {file} has {len(lines)} lines: write one for each of the {len(references)} pictures"
        raise typer.BadParameter(told)
    return lines
