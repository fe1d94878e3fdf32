"""The miniature of each backbone: its folder, and how a program's options choose and load one."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from lipe_core import base_models
from lipe_core.backbone import BaseModel
from lipe_core.errors import InvalidModel
from menagerie import klein_models, models

MINIATURES: Mapping[str, Path] = MappingProxyType({"sdxl": models.CHECKPOINT, "flux2": klein_models.CHECKPOINT})


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `load_chosen` reads."""
    parser.add_argument("--backbone", choices=MINIATURES, default="sdxl", help="backbone whose miniature is taken")
    parser.add_argument("--checkpoint", type=Path, help="folder of another base model of the drawn world")
    parser.add_argument("--device", default="cpu")


def load_chosen(options: argparse.Namespace) -> BaseModel:
    """The base model that the options name. Exits with a message if the folder has none."""
    folder = options.checkpoint or MINIATURES[options.backbone]
    if options.checkpoint is None and not folder.exists():
        raise SystemExit(
            f"{folder} is missing: the miniature of {options.backbone} is not part of LIPE yet. Train one on a GPU "
            "with `python -m menagerie.pretrain_klein`, or name a folder with --checkpoint"
        )
    try:
        return base_models.load(folder, device=options.device)
    except InvalidModel as error:
        raise SystemExit(str(error)) from error
