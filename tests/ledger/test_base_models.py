"""The base models that workers have loaded, now or before."""

from ledger import base_models, workers
from ledger.base_models import BaseModel
from ledger.database import UnitOfWork
from ledger.models import KnownModel

OLD = {"name": "klein", "fingerprint": "1", "family": "flux2"}
NEW, OTHER = OLD | {"fingerprint": "2"}, {"name": "SDXL", "fingerprint": "3", "family": "sdxl"}


def remember(begin: UnitOfWork, *descriptions: dict[str, str]) -> None:
    for description in descriptions:
        with begin() as session:
            base_models.remember(session, description)


def test_a_base_model_is_found_by_name_and_by_fingerprint(begin: UnitOfWork) -> None:
    remember(begin, OLD, OTHER, {})
    with begin() as session:
        assert base_models.find(session, "SDXL", "prior") == BaseModel("SDXL", "3", "sdxl")
        assert base_models.find(session, "1", "prior") == BaseModel("klein", "1", "flux2")
        assert base_models.find(session, "", "prior") is None
        assert base_models.find(session, "sdxl", "prior") is None
        assert base_models.names(session) == ["klein", "SDXL"]


def test_of_two_with_one_name_a_live_worker_decides_and_then_the_time(begin: UnitOfWork) -> None:
    remember(begin, OLD, NEW)
    with begin() as session:
        assert base_models.find(session, "klein", "prior") == BaseModel("klein", "2", "flux2")
        workers.report(session, "host:1", ["prior"], OLD)
    with begin() as session:
        assert base_models.find(session, "klein", "prior") == BaseModel("klein", "1", "flux2")
        assert base_models.find(session, "klein", "edit") == BaseModel("klein", "2", "flux2")
        assert base_models.names(session) == ["klein"]
        assert base_models.served(session, "prior") == [BaseModel("klein", "1", "flux2")]
        assert base_models.served(session, "edit") == []


def test_a_known_base_model_is_written_again_only_if_its_name_changed(begin: UnitOfWork) -> None:
    def version() -> int:
        with begin() as session:
            return int(session.connection().exec_driver_sql("SELECT xmin::text FROM base_models").scalar_one())

    remember(begin, OLD)
    first = version()
    remember(begin, OLD)
    assert version() == first
    remember(begin, OLD | {"name": "klein base"})
    assert version() != first
    with begin() as session:
        assert session.get_one(KnownModel, "1").name == "klein base"
