"""The decision log: a chain for each project that concurrent writers keep unbroken, and that nothing may change."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from ledger import decisions, erasures, projects
from ledger.database import UnitOfWork
from ledger.decisions import NewDecision
from ledger.models import Decision, Project, Subject
from tests.support.races import answer_after

ALLOWED = NewDecision("prompt", "allowed", "key:968621ff26b113c3", ["sub_1"], digests=[decisions.digest("a dog")])


def lines(begin: UnitOfWork, project: Project) -> list[dict[str, Any]]:
    with begin() as session:
        return list(decisions.export(session, project.id))


def record(begin: UnitOfWork, project: Project, decision: NewDecision = ALLOWED) -> Decision:
    with begin() as session:
        return decisions.record(session, project.id, decision)


def test_each_project_has_its_own_unbroken_chain(begin: UnitOfWork, project: Project) -> None:
    with begin() as session:
        other = projects.create(session, "other")
    for owner in (project, other, project):
        record(begin, owner)
    first, second = lines(begin, project)
    assert (first["number"], first["previous"]) == (1, decisions.START)
    assert (second["number"], second["previous"]) == (2, first["hash"])
    (alone,) = lines(begin, other)
    assert (alone["number"], alone["previous"]) == (1, decisions.START)
    with begin() as session:
        everything = list(decisions.export(session, batch=2))
    assert len(everything) == 3
    assert list(decisions.breaks(everything)) == []


def test_concurrent_writers_keep_the_chain(begin: UnitOfWork, project: Project) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: record(begin, project), range(40)))
    written = lines(begin, project)
    assert [line["number"] for line in written] == list(range(1, 41))
    assert list(decisions.breaks(written)) == []


def test_a_second_writer_waits_and_a_rollback_leaves_no_gap(begin: UnitOfWork, project: Project) -> None:
    second = answer_after(
        begin, lambda session: decisions.record(session, project.id, ALLOWED), lambda: record(begin, project)
    )
    assert second.number == 2
    with begin() as session:
        assert decisions.record(session, project.id, ALLOWED).number == 3
        session.rollback()
    assert record(begin, project).number == 3


@pytest.mark.parametrize(
    "change", ["UPDATE decisions SET outcome = 'refused'", "DELETE FROM decisions", "TRUNCATE decisions"]
)
def test_the_database_refuses_to_change_the_log(begin: UnitOfWork, project: Project, change: str) -> None:
    record(begin, project)
    with pytest.raises(DBAPIError, match="append-only"), begin() as session:
        session.execute(text(change))
    assert len(lines(begin, project)) == 1


def test_an_erased_subject_leaves_the_chain_unbroken(begin: UnitOfWork, project: Project, subject: Subject) -> None:
    record(begin, project, NewDecision("consent", "given", "key:968621ff26b113c3", [subject.id]))
    with begin() as session:
        assert erasures.erase_subject(session, project.id, subject.id)
    record(begin, project, NewDecision("consent", "revoked", "key:968621ff26b113c3", [subject.id]))
    assert list(decisions.breaks(lines(begin, project))) == []
    with begin() as session:
        assert session.scalars(select(Decision.ids).distinct()).all() == [[subject.id]]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("actor", "Ada Lovelace"),
        ("reason", "the prompt names Ada"),
        ("policy", "Our Policy"),
        ("ids", ["a photo of Ada"]),
        ("digests", ["a photo of Ada"]),
        ("kind", "weather"),
        ("outcome", "perhaps"),
    ],
)
def test_text_does_not_enter_the_log(field: str, value: Any) -> None:
    fields: dict[str, Any] = {"kind": "prompt", "outcome": "allowed", "actor": "worker", "ids": [], field: value}
    with pytest.raises(ValueError, match=r"must|known"):
        NewDecision(**fields)
