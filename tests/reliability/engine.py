"""A deterministic engine that stands for lipe_core: a step takes 20 ms and computes a hash of the previous one.

A worker of these tests replaces only the two functions that make a job's files. The rest of the worker is what
production runs, including the job's inputs from the storage.
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

from worker import edit, gpu, presence, train
from worker.attempt import Attempt
from worker.context import WorkerContext
from worker.job_result import File, JobResult
from worker.results import result_roles

STEP_SECONDS = 0.02
CHECKPOINT_EVERY = 10
EDIT_STEPS = 8


@dataclass(frozen=True)
class Training:
    """The state of a training; `weights` is a hash (hex) of all steps so far."""

    step: int
    weights: str


def install() -> None:
    """Replace the worker's functions in this process."""
    replacements: dict[Any, dict[str, Any]] = {
        train: {"learn": learn},
        edit: {"make_edits": make_edits},
        gpu.Gpu: {"base_model": lambda self: None, "prior": load_prior},
        presence: {"describe_model": lambda model, recipe: {"name": "engine"}},
    }
    for owner, functions in replacements.items():
        for name, function in functions.items():
            setattr(owner, name, function)


def learn(context: WorkerContext, attempt: Attempt) -> JobResult:
    """A prior job: `steps` steps from a hash of the references, with checkpoints like a real training."""
    with attempt.stage("loading"):
        parameters, _, references = train._load(context, attempt)
    steps, state = parameters["prior"]["steps"], initial_state(parameters["prior"], references)
    file = context.checkpoints / f"{attempt.claim.job_id}.test.safetensors"
    if file.exists():
        state = Training(**json.loads(file.read_text()))
    with attempt.stage("training"):
        while state.step < steps:
            state = step(context, attempt, state)
            if state.step % CHECKPOINT_EVERY == 0:
                save_checkpoint(file, state)
            try:
                attempt.report("training", state.step, steps)
            except BaseException:
                save_checkpoint(file, state)
                raise
    adapter = state.weights.encode()
    sha256 = hashlib.sha256(adapter).hexdigest()
    files = [
        File("adapter", "adapter.safetensors", "application/octet-stream", adapter),
        File("manifest", "manifest.json", "application/json", json.dumps({"adapter_sha256": sha256}).encode()),
    ]
    return JobResult(files, {"adapter_sha256": sha256}, {"adapter_sha256": sha256})


def make_edits(context: WorkerContext, attempt: Attempt) -> JobResult:
    """An edit job: one set of files for each prompt; their content is a hash of image, prior, prompt and steps."""
    with attempt.stage("loading"):
        inputs = edit.load_inputs(context, attempt)
    files = []
    for number, prompt in enumerate(inputs.request.target_prompts, start=1):
        state = initial_state([inputs.prior, prompt], [inputs.request.image])
        while state.step < EDIT_STEPS:
            state = step(context, attempt, state)
            attempt.report("editing", (number - 1) * EDIT_STEPS + state.step, 10**6)
        content, details = state.weights.encode(), {"target_prompt": prompt, "seed": 0}
        roles = result_roles(inputs.parameters)
        files += [File(role, f"{role}-{number}.png", "image/png", content, details) for role in roles]
    return JobResult(files, {"adapter_sha256": inputs.prior})


def initial_state(parameters: Any, images: list[Image.Image]) -> Training:
    """The state before the first step."""
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode())
    for image in images:
        digest.update(image.tobytes())
    return Training(0, digest.hexdigest())


def next_state(state: Training) -> Training:
    """The state after one more step."""
    return replace(state, step=state.step + 1, weights=hashlib.sha256(state.weights.encode()).hexdigest())


def step(context: WorkerContext, attempt: Attempt, state: Training) -> Training:
    """Do one step and append it to a file, which keeps it even if this process is killed immediately afterwards."""
    time.sleep(STEP_SECONDS)
    after = next_state(state)
    entry = {"job": attempt.claim.job_id, "epoch": attempt.claim.epoch, "step": after.step}
    file = os.open(context.settings.data_dir / "steps.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{json.dumps(entry)}\n".encode())
    os.close(file)
    return after


def save_checkpoint(file: Path, state: Training) -> None:
    """Write the checkpoint atomically."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(f".{os.getpid()}.part")
    unfinished.write_text(json.dumps(asdict(state)))
    unfinished.replace(file)


def load_prior(self: gpu.Gpu, sha256: str, fetch: Any) -> str:
    """The hash of the prior's file in place of the prior. It must equal the hash in the row."""
    with TemporaryDirectory() as folder:
        fetch(Path(folder))
        found = hashlib.sha256((Path(folder) / "adapter.safetensors").read_bytes()).hexdigest()
    if found != sha256:
        raise AssertionError(f"the prior's file has the hash {found}, not {sha256}")
    return found


def recorded_steps(data_dir: Path, job_id: str) -> list[tuple[int, int]]:
    """(epoch, step) of every step of the job, in order."""
    file = data_dir / "steps.jsonl"
    entries = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return [(entry["epoch"], entry["step"]) for entry in entries if entry["job"] == job_id]
