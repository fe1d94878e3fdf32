"""Two pools of real worker processes, a tiny SDXL and a tiny klein, on one service and with one data folder."""

from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from typing import Any

import httpx
import pytest

from cli.embedded.process import free_port
from ledger import keys
from ledger.database import UnitOfWork
from ledger.models import Project
from ledger.settings import Settings
from lipe_client import Client, Problem
from tests.support.tiny_klein import write_klein
from tests.support.uploads import png
from tests.support.waiting import eventually

SMALL: dict[str, Any] = {"parameters": {"steps": 2, "rank": 2}, "regularization": {"count": 2, "steps": 2}}
FEW: dict[str, Any] = {"prompt": "a photo of sks dog jumping", "parameters": {"steps": 3}}


@pytest.mark.slow
def test_each_process_serves_its_base_model(
    begin: UnitOfWork, project: Project, settings: Settings, program: Callable[..., Popen[bytes]], tmp_path: Path
) -> None:
    write_klein(tmp_path / "klein")
    port = free_port()
    program("api", "--port", str(port))
    program("dispatcher")
    for folder in (settings.base_model, str(tmp_path / "klein")):
        program("worker", "--queues", "priors,edits", LIPE_BASE_MODEL=folder)
    with begin() as session:
        key = keys.create(session, settings.key_pepper.get_secret_value(), project.id, "test", scope="admin")[1]
    with Client(f"http://127.0.0.1:{port}", key) as lipe:
        eventually(lambda: len(_families(lipe)) == 2)
        references = [lipe.upload_image(png(colour)) for colour in ("red", "green", "blue")]
        rex = lipe.create_subject(name="Rex", class_noun="dog", references=references)
        models = {model.family: model for model in lipe.models()}
        trainings = {family: lipe.train_prior(rex, base_model=model, **SMALL) for family, model in models.items()}
        for own, other in (("sdxl", "flux2"), ("flux2", "sdxl")):
            trained = lipe.wait(trainings[own])
            edited = lipe.wait(lipe.edit(prior=trained.prior_id, image=references[0], **FEW))
            assert edited.metrics["worker"] == trained.metrics["worker"]
            assert edited.resolved["fingerprint"] == trained.resolved["fingerprint"] == models[own].fingerprint
            with pytest.raises(Problem, match=f"trained on the base model {models[own].name}, not on"):
                lipe.edit(prior=trained.prior_id, base_model=models[other], image=references[0], **FEW)


def _families(lipe: Client) -> set[str]:
    try:
        return {model.family for model in lipe.models()}
    except (httpx.TransportError, Problem):
        return set()
