"""A worker compiles before its first job. Jobs compile nothing, use what is compiled, and have the same results."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from ledger.database import UnitOfWork
from ledger.models import Project, Subject
from ledger.states import JobKind, State
from ledger.storage import Storage
from lipe_core.graphs import Graphs
from tests.support.factories import current, edit, learn, verified
from tests.support.running import run_job
from worker import compiling
from worker.compiling import compile_network
from worker.context import WorkerContext

KINDS: Sequence[JobKind] = ("prior", "edit")


@pytest.fixture(autouse=True)
def compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that can compile."""
    monkeypatch.setattr(compiling, "cannot_compile", lambda folder: "")


@pytest.mark.slow
def test_jobs_compile_nothing_and_have_the_same_results(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    counts = {"compiled": 0, "ran": 0}

    def backend(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        counts["compiled"] += 1

        def run(*values: Any) -> Any:
            counts["ran"] += 1
            return graph.forward(*values)

        return run

    def results() -> list[list[str]]:
        jobs = edit(begin, storage, project, subject, None), learn(begin, project, subject, steps=2)
        for job in jobs:
            run_job(context, job.id)
            assert current(begin, job).state == State.SUCCEEDED
        return [[file.sha256 for file in verified(begin, storage, job) if file.role != "manifest"] for job in jobs]

    eager = results()
    compiled = compile_network(context, KINDS, backend)
    try:
        assert compiled.eager_because == ""
        before = dict(counts)
        assert results() == eager
        assert counts["compiled"] == before["compiled"] > 0
        assert counts["ran"] > before["ran"]
    finally:
        compiled.undo()


def test_graphs_are_recorded_rather_than_compiled(context: WorkerContext) -> None:
    model = replace(context.gpu.base_model(), graphs=Graphs())
    compiled = compile_network(replace(context, gpu=replace(context.gpu, _model=model)), KINDS)
    assert "LIPE_CUDA_GRAPHS" in compiled.eager_because


def test_a_machine_that_cannot_compile_says_why(
    context: WorkerContext, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compiling, "cannot_compile", lambda folder: f"there is no compiler for {folder.name}")
    assert compile_network(context, KINDS).eager_because == "there is no compiler for compiled"
    assert "there is no compiler" in caplog.text
