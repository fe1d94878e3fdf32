"""`lipe bench`: the comparison on photos, from the command line."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.force_option import ForceOption
from cli.missing_package import needs_packages

if TYPE_CHECKING:
    import torch

    from cli.kit.runs import Bench
    from cli.kit.subjects import PhotoSubject
    from cli.kit.systems import System
    from lipe_core.backbone import BaseModel
    from lipe_core.captioning.chat import ChatEndpoint

UNUSABLE_STATUS = 1
DEFAULT_SYSTEMS = "lipe; nima, no prior; masactrl; sdedit; ddim"

app = typer.Typer(no_args_is_help=True, help="Compare editing methods on a folder of photos.")


@app.command("run")
def run_bench(
    folder: Annotated[Path, typer.Argument(help="The folder of the subjects: docs/reproduction.md has its layout.")],
    base_model: Annotated[str, typer.Option(help="Checkpoint folder or hub id.", envvar="LIPE_BASE_MODEL")],
    out: Annotated[Path, typer.Option(help="The folder for priors, edits and the report.")] = Path("out/bench"),
    systems: Annotated[
        str, typer.Option(help="Systems, separated by semicolons; `all`, or `sweep` for the recipe's open values.")
    ] = DEFAULT_SYSTEMS,
    clip: Annotated[
        str, typer.Option(help="The model of CLIP-I, CLIP-T and CLIP-D.")
    ] = "openai/clip-vit-large-patch14",
    dinov2: Annotated[str, typer.Option(help="The model of DINOv2-I.")] = "facebook/dinov2-base",
    device: Annotated[str, typer.Option(help="cuda, cpu, or auto.")] = "auto",
    dtype: Annotated[
        str, typer.Option(help="bfloat16, float16 or float32. auto: bfloat16 on a GPU, float32 on a CPU.")
    ] = "auto",
    seed: Annotated[int, typer.Option(help="The seed of the edits.", min=0)] = 0,
    judge_url: Annotated[
        str | None, typer.Option(help="An OpenAI-compatible endpoint of a vision-language model.")
    ] = None,
    judge_model: Annotated[str, typer.Option(help="The model to ask at that endpoint.")] = "",
    judge_key: Annotated[str, typer.Option(help="Its API key.", envvar="LIPE_BENCH_JUDGE_KEY")] = "",
    price_per_hour: Annotated[float | None, typer.Option(help="The price of this machine, for the estimate.")] = None,
    only_estimate: Annotated[bool, typer.Option("--estimate", help="Print the estimate and stop.")] = False,
    force: ForceOption = False,
) -> None:
    """Learn the subjects, edit their photos by each system, and write a table, sheets and a page.

    Results that are already in OUT are not made again, so that the command can be interrupted and repeated.
    """
    with needs_packages("worker"):
        from cli.kit.estimate import estimate
        from cli.kit.runs import Bench
        from cli.kit.subjects import read_subjects
        from cli.kit.vision_judge import NoVerdict
        from lipe_core import base_models, precision
        from lipe_core.captioning.chat import ChatEndpoint

    try:
        subjects, chosen = read_subjects(folder), choose_systems(systems)
        judge = ChatEndpoint(judge_url, judge_key, judge_model) if judge_url else None
        chosen_device = _device(device)
        with precision.denormals_flushed():
            model = base_models.load(
                base_model, device=chosen_device, dtype=_dtype(dtype, chosen_device), allow_distilled=force
            )
            bench = Bench(model, out, seed)
            chosen = usable(chosen, model)
            typer.echo(f"{len(subjects)} subjects, {len(chosen)} systems")
            typer.echo(estimate(bench, subjects, chosen).sentence(price_per_hour))
            if not only_estimate:
                out.mkdir(parents=True, exist_ok=True)
                typer.echo(_carry_out(bench, subjects, chosen, (clip, dinov2), judge))
                typer.echo(f"the page is {out / 'index.html'}")
    except (ValueError, NoVerdict, OSError) as error:  # of the folder, the models, the settings, the judge or the disk
        typer.echo(str(error), err=True)
        raise typer.Exit(UNUSABLE_STATUS) from error


@app.command("subjects")
def write_subjects(
    folder: Annotated[Path, typer.Argument(help="The folder to write.", file_okay=False)],
) -> None:
    """Write folders for 28 subjects in the paper's kinds, each with four edits. The photos are yours to take."""
    from cli.kit.subject_list import write_folders

    written = write_folders(folder)
    typer.echo(f"{len(written)} new folders in {folder}: each edits.yaml says what to photograph")


def choose_systems(text: str) -> "Mapping[str, System]":
    """The systems of a list such as "lipe; sdedit". Raises ValueError for an unknown name."""
    from cli.kit.systems import SYSTEMS, sweep

    if text.strip() in ("all", "sweep"):
        return SYSTEMS if text.strip() == "all" else sweep()
    names = [name.strip() for name in text.split(";") if name.strip()]
    if not names or (unknown := [name for name in names if name not in SYSTEMS]):
        wrong = f"unknown systems {', '.join(unknown)}" if names else "no system is named"
        raise ValueError(f"{wrong}: choose from {'; '.join(SYSTEMS)}, or `all`, or `sweep`")
    return {name: SYSTEMS[name] for name in names}


def usable(systems: "Mapping[str, System]", model: "BaseModel") -> "Mapping[str, System]":
    """The systems whose methods are made for the base model; the others are named. Raises ValueError if none is."""
    from lipe_core.methods.registry import METHODS

    found = {name: system for name, system in systems.items() if METHODS[system.method].fits(model.family)}
    if left_out := "; ".join(name for name in systems if name not in found):
        sentence = f"not made for {model.name}, a base model of the family {model.family}: {left_out}"
        if not found:
            raise ValueError(sentence)
        typer.echo(sentence)
    return found


def _carry_out(
    bench: "Bench",
    subjects: "list[PhotoSubject]",
    systems: "Mapping[str, System]",
    judges: tuple[str, str],
    endpoint: "ChatEndpoint | None",
) -> str:
    from cli.kit.measures import load_judges, measure
    from cli.kit.report import Measured, write_report
    from cli.kit.runs import run
    from cli.kit.verdicts import verdicts
    from lipe_core.errors import InvalidRequest

    networks = load_judges(*judges, str(bench.model.device))
    measured: list[Measured] = []
    for number, subject in enumerate(subjects, start=1):
        for name, system in systems.items():
            typer.echo(f"subject {number} of {len(subjects)}, {subject.name}: {name}")
            try:
                made = run(bench, subject, name, system)
            except InvalidRequest as error:
                typer.echo(f"{name} cannot edit {subject.name}: {error}", err=True)
                continue
            measured.append(Measured(made, measure(made, subject, networks), verdicts(made, subject, endpoint)))
    named = ", ".join([*networks.names, *([endpoint.model] if endpoint else [])])
    return write_report(measured, subjects, named, bench.out)


def _device(name: str) -> str:
    import torch

    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


def _dtype(name: str, device: str) -> "torch.dtype":
    import torch

    known = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
    known["auto"] = known["float32" if device == "cpu" else "bfloat16"]
    if name not in known:
        raise ValueError(f"there is no dtype {name}: choose from {', '.join(known)}")
    return known[name]
