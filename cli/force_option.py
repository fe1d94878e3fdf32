"""The option of commands that load or check a base model, to use one that LIPE advises against."""

from typing import Annotated

import typer

ForceOption = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Use a distilled klein of FLUX.2, too. It neither trains nor inverts well.",
        envvar="LIPE_ALLOW_DISTILLED",
        show_envvar=True,
    ),
]
