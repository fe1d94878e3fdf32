"""Resumable runs: one system on one subject, in a folder of its own that is complete when it has `run.json`."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from cli.kit.subjects import PhotoSubject
from cli.kit.systems import System
from lipe_core.adapters.prior import Prior, load_prior, save_prior
from lipe_core.backbone import BaseModel
from lipe_core.errors import InvalidPrior
from lipe_core.methods.registry import METHODS
from lipe_core.methods.request import Edit, EditImages
from lipe_core.methods.request_check import check_request
from lipe_core.recipe import Recipe, load_recipe
from lipe_core.training.config import PriorConfig
from lipe_core.training.learn import learn

RUN = "run.json"


@dataclass(frozen=True)
class Run:
    """The stored edits of one system on one subject."""

    folder: Path
    subject: str
    system: str
    prompts: tuple[str, ...]
    seconds: float
    evaluations: int
    settings: dict[str, Any]

    def image(self, role: str, edit: int) -> Image.Image:
        """One image of an edit; `role` is a field of `EditImages`."""
        with Image.open(self.folder / f"{role}-{edit}.png") as image:
            image.load()
            return image


@dataclass(frozen=True)
class Bench:
    """The base model, the folder of all runs, and the seed of the edits."""

    model: BaseModel
    out: Path
    seed: int

    @property
    def recipe(self) -> Recipe:
        """The checkpoint's recipe."""
        return load_recipe(self.model.checkpoint)

    def prior_config(self, subject: PhotoSubject, system: System) -> PriorConfig | None:
        """The settings of the system's training, or None if it uses no prior."""
        if system.training is None:
            return None
        return replace(self.recipe.prior_config(subject.category), **system.training)

    def method_config(self, system: System) -> Any:
        """The settings of the system's method."""
        return replace(self.recipe.method_config(system.method), **system.changes)


def run(bench: Bench, subject: PhotoSubject, name: str, system: System) -> Run:
    """The system's edits of the subject, from the output folder if they are there with the same settings and files."""
    folder = run_folder(bench, subject, system)
    if not is_done(folder):
        config, request = bench.method_config(system), subject.edit_request(bench.seed)
        check_request(bench.model, system.method, request, config)
        training = bench.prior_config(subject, system)
        prior = _prior(bench, subject, training) if training else None
        edits = METHODS[system.method].edit(bench.model, request, config, prior=prior)
        _store(folder, subject, edits, _settings(bench, subject, system))
    facts = json.loads((folder / RUN).read_text())
    return Run(folder, subject.name, name, tuple(facts.pop("prompts")), **facts)


def run_folder(bench: Bench, subject: PhotoSubject, system: System) -> Path:
    """The folder of a run. Other settings, photos or weights have another folder."""
    settings = _settings(bench, subject, system)
    key = _digest([settings, system.method, bench.seed, bench.model.fingerprint, _content(subject)])
    return bench.out / "runs" / subject.name / key


def is_done(folder: Path) -> bool:
    """Whether the run of this folder is complete."""
    return (folder / RUN).exists()


def _settings(bench: Bench, subject: PhotoSubject, system: System) -> dict[str, Any]:
    training = bench.prior_config(subject, system)
    return {"method": asdict(bench.method_config(system)), "training": asdict(training) if training else None}


def missing_priors(bench: Bench, subject: PhotoSubject, systems: list[System]) -> Iterator[PriorConfig]:
    """The settings of the priors that are still to be trained."""
    configs = {config for system in systems if (config := bench.prior_config(subject, system))}
    yield from (config for config in configs if not _prior_folder(bench, subject, config).exists())


def _prior(bench: Bench, subject: PhotoSubject, config: PriorConfig) -> Prior:
    folder = _prior_folder(bench, subject, config)
    try:
        return load_prior(folder, bench.model.fingerprint)
    except InvalidPrior:
        regularization, cache = bench.recipe.regularization_config(), bench.out / "regularization"
        prior = learn(bench.model, subject.learn_request(), config, regularization, cache=cache)
        return save_prior(prior.adapter, prior.manifest, folder)


def _prior_folder(bench: Bench, subject: PhotoSubject, config: PriorConfig) -> Path:
    key = _digest([asdict(config), bench.model.fingerprint, _content(subject)])
    return bench.out / "priors" / subject.name / key


def _content(subject: PhotoSubject) -> list[Any]:
    files = [*subject.references, subject.test, *([subject.mask] if subject.mask else [])]
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    return [hashes, subject.class_noun, subject.category, subject.edits, subject.source_prompt, subject.captions]


def _digest(settings: list[Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def _store(folder: Path, subject: PhotoSubject, edits: list[Edit], settings: dict[str, Any]) -> None:
    """Write the images, and last, atomically, the file that completes the run."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, edit in enumerate(edits):
        for role, image in zip(EditImages._fields, edit.images(), strict=True):
            image.save(folder / f"{role}-{number}.png", compress_level=3)
    facts = {
        "prompts": subject.edits,
        "seconds": sum(edits[0].timings.values()) / len(edits),
        "evaluations": edits[0].evaluations,
        "settings": settings,
    }
    unfinished = folder / f"{RUN}.part"
    unfinished.write_text(json.dumps(facts, indent=2))
    os.replace(unfinished, folder / RUN)
