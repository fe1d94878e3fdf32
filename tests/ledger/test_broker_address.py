"""The broker's URL, for Celery and for a client of our own."""

from typing import Any

import pytest

from ledger import broker_address
from ledger.broker_address import BrokerAddress

GROUP = "sentinel://:a%20word@one:1,two/3?primary=lipe&sentinel_password=other"


@pytest.mark.parametrize("url", ["redis://:word@host:6379/0", "rediss://host"])
def test_one_server_is_named_as_it_is(url: str) -> None:
    assert broker_address.read(url) == BrokerAddress(url, {})


def test_sentinels_become_alternatives_of_celery() -> None:
    assert broker_address.read(GROUP) == BrokerAddress(
        "sentinel://:a%20word@one:1/3;sentinel://:a%20word@two:26379/3",
        {"master_name": "lipe", "sentinel_kwargs": {"password": "other"}},
    )


def test_a_client_asks_the_sentinels() -> None:
    pool: Any = broker_address.connect(GROUP, socket_timeout=2.0).connection_pool
    sentinels = [client.connection_pool.connection_kwargs for client in pool.sentinel_manager.sentinels]
    assert [(one["host"], one["port"]) for one in sentinels] == [("one", 1), ("two", 26379)]
    assert {one["password"] for one in sentinels} == {"other"}
    given = pool.connection_kwargs
    assert (pool.service_name, given["password"], given["db"], given["socket_timeout"]) == ("lipe", "a word", 3, 2.0)
    assert broker_address.read("sentinel://one").options["master_name"] == "mymaster"


@pytest.mark.parametrize("url", ["sentinel://", "sentinel://one,,two", "sentinel://one:port", "sentinel://:word@/0"])
def test_a_group_without_hosts_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"sentinel://:password@host|[Pp]ort"):
        broker_address.read(url)
