"""`lipe captions`: have a running service describe images of a subject."""

from contextlib import ExitStack
from typing import Annotated

import typer
from rich.console import Console

from cli.service import ApiKey, Url, connect, follow_job, image_source, uploaded_images
from cli.settings_file import Data
from lipe_client import ImageCaption


def captions(
    subject: Annotated[str, typer.Argument(help="The id of the subject that the images show.")],
    images: Annotated[
        list[str] | None,
        typer.Argument(help="Images to describe: paths or URLs. Default: the references.", parser=image_source),
    ] = None,
    action: Annotated[
        str | None, typer.Option(help="What the subject shall do: jumping. Prints a target prompt for each image.")
    ] = None,
    save: Annotated[
        bool, typer.Option("--save", help="Keep the captions of references for the next training.")
    ] = False,
    url: Url = None,
    api_key: ApiKey = "",
    data: Data = None,
) -> None:
    """Describe images of a subject and print each id with its caption, to be read and corrected before a training."""
    if save and images:
        raise typer.BadParameter("--save keeps captions of references: leave the images out")
    console = Console(stderr=True)
    with connect(url, api_key, console, data) as lipe, ExitStack() as stack:
        uploaded = stack.enter_context(uploaded_images(lipe, images)) if images else None
        job = lipe.request_captions(subject, uploaded, action=action)
        console.print(f"job {job.id}", highlight=False)
        written = lipe.captions(follow_job(lipe, job, console))
        for caption in written.captions:
            print_caption(caption, console)
        if save:
            lipe.change_subject(subject, captions={one.image_id: one.caption for one in written.captions})
            console.print("kept for the next training", highlight=False)


def print_caption(caption: ImageCaption, console: Console) -> None:
    """Print a caption and its target prompt; phrases that the image contradicts go to stderr."""
    print(f"{caption.image_id} {caption.caption}")
    if caption.target_prompt:
        print(f"{caption.image_id} -> {caption.target_prompt}")
    for phrase in caption.phrases:
        if phrase.is_doubtful:
            message = f"doubtful in {caption.image_id}: {phrase.text} ({phrase.score:.1f})"
            console.print(message, style="yellow", markup=False, highlight=False)
