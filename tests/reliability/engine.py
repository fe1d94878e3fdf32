"""A deterministic engine: a step takes 20 ms and is a hash of the one before. All that is about it is real.

A worker of these tests installs it in the place of the functions that make a job's files; everything else of the
worker, its inputs from the storage included, is what production runs.
"""

import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from worker import edit, gpu, run_job, train
from worker.attempt import Attempt, File, JobResult
from worker.context import WorkerContext

STEP_SECONDS = 0.02
CHECKPOINT_EVERY = 10
EDIT_STEPS = 8


@dataclass(frozen=True)
class Training:
    """How far it is; `weights` is a hash (hex) of all that was done."""

    step: int
    weights: str


def install() -> None:
    """Put the engine into this process."""
    run_job.train.learn, run_job.edit.paint = learn, paint
    gpu.Gpu.base_model = lambda self: None  # type: ignore[method-assign,assignment,return-value]
    gpu.Gpu.prior = fetched  # type: ignore[method-assign,assignment]


def learn(process: WorkerContext, attempt: Attempt) -> JobResult:
    """A prior job: `steps` steps from what the references are, checkpointed as a real training is."""
    with attempt.stage("loading"):
        parameters, _, pictures = train._load(process, attempt)
    steps, state = parameters["prior"]["steps"], beginning(parameters["prior"], pictures)
    file = process.checkpoints / f"{attempt.claim.job_id}.test.safetensors"
    if file.exists():
        state = Training(**json.loads(file.read_text()))
    with attempt.stage("training"):
        while state.step < steps:
            state = step(process, attempt, state)
            if state.step % CHECKPOINT_EVERY == 0:
                keep(file, state)
            try:
                attempt.report("training", state.step, steps)
            except BaseException:
                keep(file, state)
                raise
    adapter = state.weights.encode()
    sha256 = hashlib.sha256(adapter).hexdigest()
    files = [
        File("adapter", "adapter.safetensors", "application/octet-stream", adapter),
        File("manifest", "manifest.json", "application/json", json.dumps({"adapter_sha256": sha256}).encode()),
    ]
    return JobResult(files, {"adapter_sha256": sha256}, {"adapter_sha256": sha256})


def paint(process: WorkerContext, attempt: Attempt) -> JobResult:
    """An edit job: one set of files for each prompt, its bytes a hash of picture, prior, prompt and steps."""
    with attempt.stage("loading"):
        order = edit._load(process, attempt)
    files = []
    for number, prompt in enumerate(order.request.target_prompts, start=1):
        state = beginning([order.prior, prompt], [order.request.image])
        while state.step < EDIT_STEPS:
            state = step(process, attempt, state)
            attempt.report("editing", (number - 1) * EDIT_STEPS + state.step, 10**6)
        content, details = state.weights.encode(), {"target_prompt": prompt, "seed": 0}
        files += [File(role, f"{role}-{number}.png", "image/png", content, details) for role in edit.ROLES]
    return JobResult(files, {"adapter_sha256": order.prior})


def beginning(asked: Any, pictures: list[Image.Image]) -> Training:
    """Before the first step."""
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode())
    for picture in pictures:
        digest.update(picture.tobytes())
    return Training(0, digest.hexdigest())


def following(state: Training) -> Training:
    """After one more step."""
    return replace(state, step=state.step + 1, weights=hashlib.sha256(state.weights.encode()).hexdigest())


def step(process: WorkerContext, attempt: Attempt, state: Training) -> Training:
    """Work, and say so in the diary: there it counts even if this process is killed the moment after."""
    time.sleep(STEP_SECONDS)
    after = following(state)
    entry = {"job": attempt.claim.job_id, "epoch": attempt.claim.epoch, "step": after.step}
    diary = os.open(process.settings.data_dir / "diary", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(diary, f"{json.dumps(entry)}\n".encode())
    os.close(diary)
    return after


def keep(file: Path, state: Training) -> None:
    """The checkpoint, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(f".{os.getpid()}.part")
    unfinished.write_text(json.dumps(asdict(state)))
    unfinished.replace(file)


def fetched(self: gpu.Gpu, sha256: str, fetch: Any) -> str:
    """In place of a loaded prior, the hash of its file, which must be what the row says."""
    with TemporaryDirectory() as folder:
        fetch(Path(folder))
        found = hashlib.sha256((Path(folder) / "adapter.safetensors").read_bytes()).hexdigest()
    if found != sha256:
        raise AssertionError(f"the prior's file is {found}, not {sha256}")
    return found


def diary(data_dir: Path, job_id: str) -> list[tuple[int, int]]:
    """(epoch, step) of every step that was done for the job, in order."""
    file = data_dir / "diary"
    entries = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return [(entry["epoch"], entry["step"]) for entry in entries if entry["job"] == job_id]
