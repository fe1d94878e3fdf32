"""`lipe train`: upload reference images to a running service and train a prior."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from cli.consent_options import ConsentFor, ConsentOf, ConsentUntil, Evidence, NotAPerson, receipt
from cli.dry_run import DryRunOption, deleted_afterwards, print_dry_run
from cli.service import (
    ApiKey,
    BaseModelOption,
    Url,
    connect,
    follow_job,
    image_source,
    parse_parameters,
    uploaded_images,
)
from cli.settings_file import Data
from lipe_client import Artefact, Category, Client, Preset, Problem, Progress, Subject


def train(
    references: Annotated[
        list[str] | None,
        typer.Argument(
            help="3 to 20 reference images: paths or URLs of JPEG, PNG, WebP, HEIC or AVIF files.", parser=image_source
        ),
    ] = None,
    class_noun: Annotated[str, typer.Option("--class", help="The subject's class noun: dog.")] = "",
    subject: Annotated[str, typer.Option(help="An existing subject's id, instead of images and --class.")] = "",
    name: Annotated[str, typer.Option(help="The subject's name. Default: the class noun.")] = "",
    token: Annotated[str, typer.Option(help="The rare word that names the subject in prompts.")] = "sks",  # noqa: S107
    category: Annotated[
        Category | None, typer.Option(help="The subject's category. Default: derived from the class noun.")
    ] = None,
    captions: Annotated[
        Path | None,
        typer.Option(
            help="A text file with one caption a line. The service captions the image of a blank line.", dir_okay=False
        ),
    ] = None,
    consent_of: ConsentOf = "",
    consent_for: ConsentFor = "",
    consent_until: ConsentUntil = None,
    evidence: Evidence = "",
    not_a_person: NotAPerson = False,
    base_model: BaseModelOption = None,
    preset: Annotated[
        Preset, typer.Option(help="Time against likeness: fast halves the training steps, best doubles them.")
    ] = "balanced",
    parameter: Annotated[
        list[str] | None,
        typer.Option(help="A training parameter, as name=value: steps=500. Repeatable. /docs lists them."),
    ] = None,
    regularization: Annotated[
        list[str] | None, typer.Option(help="A parameter of the regularization images: count=16. Repeatable.")
    ] = None,
    previews: Annotated[
        Path | None, typer.Option(help="A folder for preview images, generated during the training.", file_okay=False)
    ] = None,
    snapshots: Annotated[
        int | None,
        typer.Option(
            help="Adapters of earlier steps to keep, for `lipe snapshots`. Default: 3 for a LoRA.", min=0, max=20
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="--no-wait returns before the training ends.")] = True,
    dry_run: DryRunOption = False,
    url: Url = None,
    api_key: ApiKey = "",
    data: Data = None,
) -> None:
    """Train a prior for a subject and print the ids of both."""
    if bool(subject) == bool(references) or bool(references) != bool(class_noun):
        raise typer.BadParameter("give either reference images and --class, or --subject")
    consent = receipt(consent_of, consent_for, consent_until, evidence)
    if subject and (captions or name or category or consent or not_a_person):
        raise typer.BadParameter("--name, --captions, --category and those of consent belong to a new subject")
    options: dict[str, Any] = {
        "base_model": base_model,
        "preset": preset,
        "parameters": parse_parameters(parameter, "--parameter"),
        "regularization": parse_parameters(regularization, "--regularization"),
        "previews": None if previews else 0,
        "snapshots": snapshots,
    }
    reference_captions, console = _read_captions(captions, references or []), Console(stderr=True)
    with connect(url, api_key, console, data) as lipe:
        if subject and dry_run:
            return print_dry_run(lipe.dry_run_prior(subject, **options))
        if subject:
            job = lipe.train_prior(subject, **options)
        else:
            created = new_subject(
                lipe,
                references or [],
                name=name or class_noun,
                class_noun=class_noun,
                token=token,
                category=category,
                consent=consent,
                not_a_person=not_a_person,
                captions=reference_captions,
            )
            with created as one:
                if dry_run:
                    images = [reference.image_id for reference in one.references]
                    with deleted_afterwards(lipe, images, subject=one.id):
                        return print_dry_run(lipe.dry_run_prior(one, **options))
                job = lipe.train_prior(one, **options)
        print(f"subject {job.subject_id}\nprior {job.prior_id}", flush=True)
        console.print(f"job {job.id}", highlight=False)
        if not wait:
            return
        folder = _PreviewFolder(lipe, previews)
        follow_job(lipe, job, console, folder.save_newest)
        folder.save_all(job.prior_id or "")


@contextmanager
def new_subject(lipe: Client, files: Sequence[str], **fields: Any) -> Iterator[Subject]:
    """Upload the references and create the subject. If the service refuses its prior, both are deleted."""
    with uploaded_images(lipe, files) as images:
        subject = lipe.create_subject(references=images, **fields)
        try:
            yield subject
        except Problem:
            with suppress(Problem):
                lipe.delete_subject(subject)
            raise


@dataclass
class _PreviewFolder:
    """Saves each preview once, as a file of `folder`. Without a folder it saves nothing."""

    lipe: Client
    folder: Path | None
    saved: set[str] = field(default_factory=set)

    def save_newest(self, progress: Progress) -> None:
        """Save the preview of a progress event, unless its job was stopped and the file deleted."""
        if progress.preview:
            with suppress(Problem):
                self._save(progress.preview)

    def save_all(self, prior_id: str) -> None:
        """Save the previews of a finished prior, as events report only the newest."""
        if self.folder:
            for artefact in self.lipe.prior(prior_id).artefacts:
                if artefact.role == "preview":
                    self._save(artefact)

    def _save(self, preview: Artefact) -> None:
        if self.folder and preview.name not in self.saved:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.lipe.download(preview, self.folder / preview.name)
            self.saved.add(preview.name)


def _read_captions(file: Path | None, references: Sequence[str]) -> list[str | None] | None:
    if file is None:
        return None
    try:
        lines = [line.strip() or None for line in file.read_text().splitlines()]
    except (OSError, UnicodeError) as error:
        raise typer.BadParameter(f"--captions: cannot read {file}: {error}") from error
    if len(lines) != len(references):
        message = f"--captions: {file} has {len(lines)} lines: write one for each of the {len(references)} images"
        raise typer.BadParameter(message)
    return lines
