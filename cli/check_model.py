"""`lipe check-model`: check a base model before a service uses it."""

from pathlib import Path
from typing import Annotated

import typer

from cli.force_option import ForceOption
from cli.missing_package import needs_packages

WRONG_MODEL_STATUS = 1


def check_model(
    base_model: Annotated[
        str, typer.Argument(help="The folder of a checkpoint, or a hub id.", envvar="LIPE_BASE_MODEL", show_envvar=True)
    ],
    force: ForceOption = False,
) -> None:
    """Check that LIPE can use a base model: its files, configurations, noise levels and tensors.

    Weights are not read, so that it takes seconds. A hub id is not downloaded. Exit status: 0 usable, 1 not usable.
    """
    with needs_packages("worker"):
        from lipe_core.checkpoint.flux2_layout import distilled_warning, is_distilled
        from lipe_core.checkpoint.layout import check_base_model
        from lipe_core.errors import InvalidModel

    try:
        check_base_model(base_model, allow_distilled=force)
        if is_distilled(base_model):
            typer.echo(distilled_warning(base_model), err=True)
        if not Path(base_model).exists():
            print(f"{base_model} is a hub id: the workers check it after the download")
            return
        # Late: it imports torch, and the first check refuses most mistakes without it.
        from lipe_core import base_models

        base_models.check_folder(Path(base_model), base_model, allow_distilled=force)
    except InvalidModel as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(WRONG_MODEL_STATUS) from error
    print(f"{base_model} is a base model that LIPE can use")
