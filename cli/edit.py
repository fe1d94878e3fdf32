"""`lipe edit`: one picture to a running service, the edited pictures back as files."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli.remote import LOCAL, ApiKey, Url, followed, service, settings, uploaded
from client import Method


def edit(
    image: Annotated[Path, typer.Argument(help="The picture: JPEG, PNG or WebP.", exists=True, dir_okay=False)],
    prompt: Annotated[list[str], typer.Option(help='What it shall show: "a photo of sks dog jumping". Repeatable.')],
    subject: Annotated[str | None, typer.Option(help="The subject's id; its newest prior is used.")] = None,
    prior: Annotated[str | None, typer.Option(help="One prior's id, in place of --subject.")] = None,
    method: Annotated[Method, typer.Option(help="nima is LIPE's own, the others are its rivals.")] = "nima",
    use_prior: Annotated[
        bool, typer.Option("--use-prior/--no-prior", help="--no-prior: the base model alone; it needs --subject.")
    ] = True,
    parameter: Annotated[
        list[str] | None, typer.Option(help="A setting of the method: steps=20. Repeatable; /docs lists them.")
    ] = None,
    source_prompt: Annotated[str | None, typer.Option(help="What the picture shows now.")] = None,
    mask: Annotated[
        Path | None, typer.Option(help="A picture that is white where it may change.", exists=True, dir_okay=False)
    ] = None,
    seed: Annotated[list[int] | None, typer.Option(help="One picture for each. Repeatable.", min=0)] = None,
    out: Annotated[Path, typer.Option(help="The folder for the results.", file_okay=False)] = Path("out"),
    url: Url = LOCAL,
    api_key: ApiKey = "",
) -> None:
    """Edit a picture with a learnt subject; print the paths of the results, one for each prompt and seed."""
    if (subject is None) == (prior is None):
        raise typer.BadParameter("give either --subject or --prior")
    if not use_prior and (prior is not None or method == "dreamctrl"):
        raise typer.BadParameter("--no-prior needs --subject, and another --method than dreamctrl")
    parameters = settings(parameter, "--parameter")
    console = Console(stderr=True)
    with service(url, api_key, console) as lipe:
        with uploaded(lipe, [image, *([mask] if mask else [])]) as pictures:
            job = lipe.edit(
                subject=subject,
                prior=prior,
                image=pictures[0],
                mask=pictures[1] if mask else None,
                prompts=prompt,
                source_prompt=source_prompt,
                method=method,
                use_prior=use_prior,
                parameters=parameters,
                seeds=seed,
            )
        console.print(f"job {job.id}", highlight=False)
        results = lipe.results(followed(lipe, job, console))
        out.mkdir(parents=True, exist_ok=True)
        for number, result in enumerate(results, start=1):
            print(lipe.download(result.image, out / f"{job.edit_id}-{number}.png"))
