"""The benchmark of many workers, with few."""

from sqlalchemy import Engine

from benchmarks import fleet
from ledger.database import UnitOfWork
from ledger.settings import Settings


def test_a_small_fleet_is_measured(settings: Settings, engine: Engine, begin: UnitOfWork) -> None:
    url = settings.database_url
    load = fleet._measure(url, url, "direct", 20, 2 * fleet.EVERY)
    assert (load.workers, load.planned_per_second) == (20, 20 / fleet.EVERY)
    assert 0 < load.hot_share <= 1
    assert load.wal_per_renewal > 0
