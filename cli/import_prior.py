"""`lipe import-prior`: make a prior of a running service from a LoRA file that another program trained."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli.consent_options import ConsentFor, ConsentOf, ConsentUntil, Evidence, NotAPerson, receipt
from cli.service import ApiKey, BaseModelOption, Url, connect, follow_job, image_source
from cli.settings_file import Data
from cli.train import new_subject
from lipe_client import Category


def import_prior(
    file: Annotated[
        Path, typer.Argument(help="The LoRA: a safetensors file for the service's base model.", dir_okay=False)
    ],
    references: Annotated[
        list[str] | None,
        typer.Argument(help="3 to 20 images of a new subject: paths or URLs.", parser=image_source),
    ] = None,
    class_noun: Annotated[str, typer.Option("--class", help="The new subject's class noun: dog.")] = "",
    subject: Annotated[str, typer.Option(help="An existing subject's id, instead of images and --class.")] = "",
    name: Annotated[str, typer.Option(help="The new subject's name. Default: the class noun.")] = "",
    token: Annotated[str, typer.Option(help="The word that the LoRA was trained with.")] = "sks",  # noqa: S107
    category: Annotated[
        Category | None, typer.Option(help="The new subject's category. Default: derived from the class noun.")
    ] = None,
    base_model: BaseModelOption = None,
    consent_of: ConsentOf = "",
    consent_for: ConsentFor = "",
    consent_until: ConsentUntil = None,
    evidence: Evidence = "",
    not_a_person: NotAPerson = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="--no-wait returns before the import ends.")] = True,
    url: Url = None,
    api_key: ApiKey = "",
    data: Data = None,
) -> None:
    """Import a LoRA as a prior of a subject and print the ids of both."""
    if not file.is_file():
        raise typer.BadParameter(f"the file {file} does not exist: give the path of a safetensors file")
    if bool(subject) == bool(references) or bool(references) != bool(class_noun):
        raise typer.BadParameter("give either images of the subject and --class, or --subject")
    consent = receipt(consent_of, consent_for, consent_until, evidence)
    if subject and (name or category or consent or not_a_person):
        raise typer.BadParameter("--name, --category and those of consent belong to a new subject")
    console = Console(stderr=True)
    with connect(url, api_key, console, data) as lipe:
        if subject:
            job = lipe.import_prior(subject, file, base_model=base_model)
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
            )
            with created as one:
                job = lipe.import_prior(one, file, base_model=base_model)
        print(f"subject {job.subject_id}\nprior {job.prior_id}", flush=True)
        console.print(f"job {job.id}", highlight=False)
        if wait:
            follow_job(lipe, job, console)
