"""A worker reports its base model while it lives, and leaves when it drains."""

import json
import shutil
import socket
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from ledger import priors, workers
from ledger.database import UnitOfWork
from ledger.models import Project, Subject
from ledger.version import VERSION
from lipe_core.recipe import Recipe, load_recipe
from menagerie.models import CHECKPOINT
from tests.support.tiny_klein import write_klein
from tests.support.waiting import eventually
from worker import presence
from worker.context import WorkerContext
from worker.gpu import Gpu


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """The part of a description that the recipe decides."""
    return {
        "recipe": {
            name: asdict(settings) for name, settings in recipe.sections().items() if name != "reference_tokens"
        },
        "choices": recipe.choices(),
    }


def served(begin: UnitOfWork) -> list[workers.ServedModel]:
    with begin() as session:
        return workers.served_models(session)


def listed_workers(begin: UnitOfWork) -> list[workers.ListedWorker]:
    with begin() as session:
        return workers.listing(session)


def test_a_worker_is_live_until_it_drains_and_listed_until_it_has_ended(
    context: WorkerContext, begin: UnitOfWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "DRAINING_CHECK_SECONDS", 0.01)
    draining, over = list[bool](), list[bool]()
    thread = presence.report_presence(
        replace(context, draining=lambda: bool(draining)), ["prior", "edit"], lambda: bool(over)
    )
    eventually(lambda: bool(served(begin)))
    (model,) = served(begin)
    assert (model.kinds, model.workers) == (("edit", "prior"), 1)
    assert model.description["fingerprint"] == context.gpu.base_model().fingerprint
    (listed,) = listed_workers(begin)
    assert (listed.state, listed.host, listed.version, listed.gpu) == ("idle", socket.gethostname(), VERSION, None)
    draining.append(True)
    eventually(lambda: served(begin) == [])
    assert [worker.state for worker in listed_workers(begin)] == ["draining"]
    over.append(True)
    thread.join()
    assert listed_workers(begin) == []


def test_an_outage_of_the_database_does_not_end_the_reports(
    context: WorkerContext, begin: UnitOfWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, failures = workers.report, iter([OperationalError("", {}, Exception("down"))])

    def fail_once(*arguments: object) -> None:
        if error := next(failures, None):
            raise error
        report(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(presence, "DRAINING_CHECK_SECONDS", 0.01)
    monkeypatch.setattr(workers, "REPORT_SECONDS", 0.01)
    monkeypatch.setattr(workers, "report", fail_once)
    over: list[bool] = []
    thread = presence.report_presence(context, ["prior"], lambda: bool(over))
    eventually(lambda: bool(served(begin)))
    over.append(True)
    thread.join()


def test_the_description_has_no_path_and_reads_the_card(checkpoint: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoint, tmp_path / "model"))
    model = Gpu(str(folder), device="cpu").base_model()
    plain = presence.describe_model(model)
    assert plain == {
        **settings_of(Recipe()),
        "name": "model",
        "fingerprint": model.fingerprint,
        "family": "sdxl",
        "native_size": 64,
        "miniature": False,
        "license": None,
    }
    card = "license: openrail++\ntags: [lipe-miniature]\nmodel_name: ' My model '"
    (folder / "README.md").write_text(f"---\n{card}\n---\nA model.\n")
    stated = {"name": "My model", "license": "openrail++", "miniature": True, **settings_of(load_recipe(CHECKPOINT))}
    assert presence.describe_model(model) == plain | stated
    for unreadable in (
        "No metadata.",
        "---\nlicense: [\n---\n",
        "---\n- a list\n---\n",
        "---\nlicense: 1\nmodel_name: [1]\n---\n",
    ):
        (folder / "README.md").write_text(unreadable)
        assert presence.describe_model(model) == plain


def test_the_description_has_the_settings_of_the_recipe(checkpoint: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoint, tmp_path / "model"))
    (folder / "lipe.json").write_text(json.dumps({"nima": {"steps": 4}, "prior": {"rank": 3}}))
    model = Gpu(str(folder), device="cpu").base_model()
    described = presence.describe_model(model)
    assert (described["recipe"]["nima"]["steps"], described["recipe"]["prior"]["rank"]) == (4, 3)
    assert described["choices"]["nima"]["preset"] == {"fast": {"steps": 2}, "balanced": {}, "best": {"steps": 8}}
    (folder / "lipe.json").write_text(json.dumps({"nima": {"steps": 0}}))
    assert presence.describe_model(model) | {"recipe": {}, "choices": {}} == presence.describe_model(model)


def test_settings_that_a_klein_lacks_are_not_offered(tmp_path: Path) -> None:
    write_klein(tmp_path / "klein")
    recipe = presence.describe_model(Gpu(str(tmp_path / "klein"), device="cpu").base_model())["recipe"]
    assert {"nima", "sdedit", "reference_tokens"} <= recipe.keys()
    assert not {"prompt_to_prompt", "masactrl", "dreamctrl", "ledits"} & recipe.keys()
    assert "learning_rate" in recipe["prior"]
    assert "token_learning_rate" not in recipe["prior"]


def test_methods_that_weights_of_8_bits_lack_are_not_offered(tmp_path: Path) -> None:
    write_klein(tmp_path / "klein")
    model = Gpu(str(tmp_path / "klein"), device="cpu", bits=8).base_model()
    recipe = presence.describe_model(model)["recipe"]
    assert "nima" in recipe
    assert "imagic" not in recipe


def test_the_packaged_miniature_says_what_it_is() -> None:
    folder = Path(__file__).parents[2] / "menagerie" / "checkpoint"
    description = presence.describe_model(Gpu(str(folder), device="cpu").base_model())
    assert (description["name"], description["miniature"], description["license"]) == (
        "LIPE miniature", True, "apache-2.0",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fingerprint", "kinds", "warns"),
    [("another", ["edit"], True), ("its own", ["edit"], False), ("another", ["edit", "prior"], False)],
)
def test_a_worker_whose_base_model_no_prior_has_says_so_at_its_start(
    context: WorkerContext, begin: UnitOfWork, project: Project, subject: Subject, caplog: pytest.LogCaptureFixture,
    fingerprint: str, kinds: list[str], warns: bool,
) -> None:  # fmt: skip
    model = presence.describe_model(context.gpu.base_model())
    presence._warn_of_unused_model(context, kinds, model)
    assert not caplog.records  # a new installation has no priors
    manifest = {"fingerprint": model["fingerprint"] if fingerprint == "its own" else fingerprint}
    with begin() as session:
        prior = priors.create(session, project.id, subject.id)
        priors.mark_ready(session, prior.id, manifest=manifest, adapter_key="key", adapter_sha256="0")
    presence._warn_of_unused_model(context, kinds, model)
    assert ("no prior is of the base model" in caplog.text) == warns
