"""`lipe edit`: send an image to a running service and save the edited images."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from cli.dry_run import DryRunOption, deleted_afterwards, print_dry_run
from cli.service import ApiKey, Url, connect, follow_job, image_source, parse_parameters, uploaded_images
from cli.settings_file import Data
from lipe_client import Change, Identity, Method, OutputFormat, Preset, ResultKind

SUFFIXES = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}


def edit(
    image: Annotated[
        str,
        typer.Argument(
            help="The source image: the path or URL of a JPEG, PNG, WebP, HEIC or AVIF file.", parser=image_source
        ),
    ],
    prompt: Annotated[
        list[str] | None, typer.Option(help='What the result shows: "a photo of sks dog jumping". Repeatable.')
    ] = None,
    action: Annotated[
        str | None,
        typer.Option(help="What the subject does in the result: jumping. The rest of the scene stays. Or --prompt."),
    ] = None,
    subject: Annotated[str | None, typer.Option(help="The subject's id. The edit uses its newest prior.")] = None,
    prior: Annotated[str | None, typer.Option(help="A prior's id, instead of --subject.")] = None,
    mix: Annotated[str | None, typer.Option(help="The id of a second prior to mix in, such as a style.")] = None,
    mix_weight: Annotated[
        float | None, typer.Option(help="The factor of the second prior's change: above 0 to 2; 1 by default.")
    ] = None,
    method: Annotated[
        Method, typer.Option(help="The editing method. nima is LIPE's own; the others are baselines.")
    ] = "nima",
    preset: Annotated[Preset, typer.Option(help="Time against quality: fast halves the steps, best doubles them.")] = (
        "balanced"
    ),
    identity: Annotated[
        Identity, typer.Option(help="How much the result takes from the source image's look. nima only.")
    ] = "normal",
    change: Annotated[
        Change, typer.Option(help="How far the result may move from the source image. nima only.")
    ] = "normal",
    use_prior: Annotated[
        bool,
        typer.Option("--use-prior/--no-prior", help="--no-prior edits with the base model alone and needs --subject."),
    ] = True,
    base_model: Annotated[
        str | None,
        typer.Option(
            help="Name or fingerprint of the base model. Default: that of the newest prior, or the service's."
        ),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(help="A parameter of the method, as name=value: steps=20. Repeatable. /docs lists them."),
    ] = None,
    source_prompt: Annotated[str | None, typer.Option(help="What the source image shows.")] = None,
    negative_prompt: Annotated[str | None, typer.Option(help="What the results must not show: blurry.")] = None,
    mask: Annotated[
        str | None,
        typer.Option(help="An image that is white where the result may change: its path or URL.", parser=image_source),
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option(help="A seed. Each seed gives one image for each prompt. Repeatable.", min=0)
    ] = None,
    output_format: Annotated[
        OutputFormat, typer.Option("--format", help="png and webp without --quality keep every pixel.")
    ] = "png",
    quality: Annotated[
        int | None, typer.Option(help="The quality of jpeg (default 90), or of lossy webp.", min=1, max=100)
    ] = None,
    result_kind: Annotated[
        ResultKind | None,
        typer.Option("--results", help="published: with an invisible watermark inside the mask; archival: without."),
    ] = None,
    visible_label: Annotated[
        bool | None,
        typer.Option("--label/--no-label", help='A visible label "AI-edited" in a corner of published results.'),
    ] = None,
    others_consented: Annotated[
        bool, typer.Option("--others-consented", help="State that all other people in the image have agreed.")
    ] = False,
    credentials_prompt: Annotated[
        bool, typer.Option("--credentials-prompt", help="State the prompt in the results' Content Credentials.")
    ] = False,
    out: Annotated[Path, typer.Option(help="The folder for the edited images.", file_okay=False)] = Path("out"),
    dry_run: DryRunOption = False,
    url: Url = None,
    api_key: ApiKey = "",
    data: Data = None,
) -> None:
    """Edit an image with a subject's prior and print the paths of the results, one for each prompt and seed."""
    if (subject is None) == (prior is None):
        raise typer.BadParameter("give either --subject or --prior")
    if bool(prompt) == bool(action):
        raise typer.BadParameter("give either --prompt or --action")
    if not use_prior and (prior is not None or method == "dreamctrl"):
        raise typer.BadParameter("--no-prior needs --subject, and another --method than dreamctrl")
    if mix is not None and not use_prior:
        raise typer.BadParameter("--no-prior leaves nothing to mix: leave --mix out")
    if mix_weight is not None and mix is None:
        raise typer.BadParameter("--mix-weight needs --mix, the prior to mix in")
    if quality is not None and output_format == "png":
        raise typer.BadParameter("png has no --quality: leave it out, or give --format jpeg or webp")
    parameters = parse_parameters(parameter, "--parameter")
    console = Console(stderr=True)
    with connect(url, api_key, console, data) as lipe:
        with uploaded_images(lipe, [image, *([mask] if mask else [])]) as images:
            request: dict[str, Any] = {
                "subject": subject,
                "prior": prior,
                "mix": mix,
                "mix_weight": mix_weight,
                "image": images[0],
                "mask": images[1] if mask else None,
                "prompts": prompt,
                "action": action,
                "source_prompt": source_prompt,
                "negative_prompt": negative_prompt,
                "method": method,
                "use_prior": use_prior,
                "base_model": base_model,
                "preset": preset,
                "identity": identity,
                "change": change,
                "parameters": parameters,
                "seeds": seed,
                "output_format": output_format,
                "output_quality": quality,
                "result_kind": result_kind,
                "visible_label": visible_label,
                "other_people": "consented" if others_consented else None,
                "credentials_prompt": credentials_prompt or None,
            }
            if dry_run:
                with deleted_afterwards(lipe, [uploaded.id for uploaded in images]):
                    print_dry_run(lipe.dry_run_edit(**request))
                return
            job = lipe.edit(**request)
        console.print(f"job {job.id}", highlight=False)
        results = lipe.results(follow_job(lipe, job, console))
        out.mkdir(parents=True, exist_ok=True)
        for number, result in enumerate(results, start=1):
            print(lipe.download(result.image, out / f"{job.edit_id}-{number}.{SUFFIXES[result.image.content_type]}"))
