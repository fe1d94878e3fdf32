"""`lipe worker` with paced edits in place of the models: ``python -m benchmarks.paced_worker edits``.

An edit takes EDIT_STEPS steps of STEP_SECONDS. The rest is the real worker: it fetches inputs, reports progress and
stores artefacts.
"""

import hashlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from worker import edit, gpu, presence
from worker.app import serve
from worker.attempt import Attempt
from worker.context import WorkerContext
from worker.job_result import File, JobResult
from worker.results import result_roles

STEP_SECONDS = 0.02
EDIT_STEPS = 8


def install() -> None:
    """Replace the models in this process."""
    edit_module: Any = edit  # `Any`: the replacements do not have the types of a real model
    edit_module.make_edits = make_edits
    gpu_class: Any = gpu.Gpu
    gpu_class.base_model = lambda self: None
    gpu_class.prior = fetch_prior
    presence_module: Any = presence
    presence_module.describe_model = lambda model, recipe: {"name": "paced"}


def make_edits(context: WorkerContext, attempt: Attempt) -> JobResult:
    """Make the files of an edit job. Their contents are hashes of the inputs."""
    with attempt.stage("loading"):
        inputs = edit.load_inputs(context, attempt)
    files = []
    prompts = inputs.request.target_prompts
    for number, prompt in enumerate(prompts, start=1):
        content = hashlib.sha256(inputs.request.image.tobytes() + prompt.encode()).hexdigest().encode()
        for step in range(1, EDIT_STEPS + 1):
            time.sleep(STEP_SECONDS)
            attempt.report("editing", (number - 1) * EDIT_STEPS + step, len(prompts) * EDIT_STEPS)
        details = {"target_prompt": prompt, "seed": 0}
        roles = result_roles(inputs.parameters)
        files += [File(role, f"{role}-{number}.png", "image/png", content, details) for role in roles]
    return JobResult(files, {"adapter_sha256": inputs.prior})


def fetch_prior(self: gpu.Gpu, sha256: str, fetch: Callable[[Path], None]) -> str:
    """Download the adapter and return its hash. Raises AssertionError if it is not `sha256`."""
    with TemporaryDirectory() as folder:
        fetch(Path(folder))
        found = hashlib.sha256((Path(folder) / "adapter.safetensors").read_bytes()).hexdigest()
    if found != sha256:
        raise AssertionError(f"the adapter has the hash {found}, not {sha256}")
    return found


if __name__ == "__main__":
    install()
    serve(sys.argv[1:])
