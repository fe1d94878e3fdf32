"""The options of a program that trains a miniature in stages, and the settings of a stage from them."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from menagerie.stages.loop import Settings


class Stage(NamedTuple):
    """Defaults of a stage: its share of the minutes of all stages, its batch size and its peak learning rate."""

    share: float
    batch: int
    lr: float


def add_options(
    parser: argparse.ArgumentParser, stages: Mapping[str, Stage], *, minutes: float, out: Path, checkpoint: Path
) -> None:
    """Add the options that `chosen` and `settings_of` read; the last three arguments are defaults."""
    parser.add_argument("--stage", choices=[*stages, "all"], default="all")
    parser.add_argument(
        "--minutes", type=float, default=minutes, help="wall-clock time of the stage, or of all stages together"
    )
    parser.add_argument("--steps", type=int, help="stop a stage after this number of steps")
    parser.add_argument("--out", type=Path, default=out, help="folder of all states and results")
    parser.add_argument("--resume", action="store_true", help="continue from the states in OUT")
    parser.add_argument("--checkpoint", type=Path, default=checkpoint, help="folder that export writes")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, help="batch size, in place of the stage's own")
    parser.add_argument("--lr", type=float, help="peak learning rate, in place of the stage's own")
    parser.add_argument("--pool", type=int, default=100_000, help="number of drawings that are encoded once")
    parser.add_argument(
        "--workers", type=int, default=2, help="processes that render drawings and, for a GPU, make batches"
    )
    parser.add_argument("--compiled", action="store_true", help="compile the networks of klein's transformer stage")
    parser.add_argument("--seed", type=int, default=0)


def chosen(options: argparse.Namespace, stages: Mapping[str, Stage]) -> list[str]:
    """The names of the stages that run, in order."""
    return list(stages) if options.stage == "all" else [options.stage]


def settings_of(name: str, options: argparse.Namespace, stages: Mapping[str, Stage]) -> Settings:
    """The settings of one stage."""
    stage = stages[name]
    return Settings(
        out=options.out,
        minutes=options.minutes * (stage.share if options.stage == "all" else 1.0),
        steps=options.steps,
        batch=options.batch or stage.batch,
        lr=options.lr or stage.lr,
        device=options.device,
        resume=options.resume,
        seed=options.seed,
        workers=options.workers,
        compiled=options.compiled,
    )
