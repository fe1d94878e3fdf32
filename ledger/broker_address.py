"""The broker by its URL: one server of the Redis protocol, or the present primary of a group, found by Sentinel.

`sentinel://:password@host:26379,host:26379/0?primary=mymaster` names the sentinels, the password of the servers, and
the group. `sentinel_password` in the query is that of the sentinels.
"""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from redis import Redis
from redis.sentinel import Sentinel

SCHEME = "sentinel"
PORT = 26379
PRIMARY = "mymaster"
"""The name of the group in Sentinel's own example."""


@dataclass(frozen=True)
class BrokerAddress:
    """The broker as Celery knows it: its URL, and the transport options that belong to the URL."""

    url: str
    options: dict[str, Any] = field(default_factory=dict)


def read(broker_url: str) -> BrokerAddress:
    """The address for Celery. Raises ValueError if a sentinel has no host or a wrong port."""
    if urlsplit(broker_url).scheme != SCHEME:
        return BrokerAddress(broker_url)
    url = urlsplit(broker_url)
    login, at, _ = url.netloc.rpartition("@")
    alternatives = [f"{SCHEME}://{login}{at}{host}:{port}{url.path or '/0'}" for host, port in _sentinels(broker_url)]
    return BrokerAddress(
        ";".join(alternatives), {"master_name": _primary(broker_url), "sentinel_kwargs": _sentinel_options(broker_url)}
    )


def connect(broker_url: str, **timeouts: float) -> Redis:
    """A client of the broker, which connects at its first command. Raises ValueError if the URL is none."""
    url = urlsplit(broker_url)
    if url.scheme != SCHEME:
        return Redis.from_url(broker_url, **timeouts)
    options = _sentinel_options(broker_url) | timeouts
    sentinels = Sentinel(_sentinels(broker_url), sentinel_kwargs=options, **timeouts)  # type: ignore[no-untyped-call]
    login = {"username": url.username and unquote(url.username), "password": url.password and unquote(url.password)}
    database = int(url.path.strip("/") or 0)
    primary: Redis = sentinels.master_for(_primary(broker_url), db=database, **login)  # type: ignore[no-untyped-call]
    return primary


def _sentinels(broker_url: str) -> list[tuple[str, int]]:
    places = urlsplit(broker_url).netloc.rpartition("@")[2].split(",")
    found = [urlsplit(f"//{place}") for place in places]
    if not all(place.hostname for place in found):
        raise ValueError("write sentinel://:password@host:26379,host:26379/0?primary=mymaster")
    return [(str(place.hostname), place.port or PORT) for place in found]


def _primary(broker_url: str) -> str:
    return parse_qs(urlsplit(broker_url).query).get("primary", [PRIMARY])[0]


def _sentinel_options(broker_url: str) -> dict[str, Any]:
    password = parse_qs(urlsplit(broker_url).query).get("sentinel_password")
    return {"password": password[0]} if password else {}
