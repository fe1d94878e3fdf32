"""The event reader: its position in the stream, and broken connections."""

import httpx
import pytest

from lipe_client import events
from lipe_client.events import EventReader


def test_events_are_parsed_as_the_standard_says() -> None:
    head = '{"sequence": %d, "type": "prior.running", "at": "2026-01-01T00:00:00Z",'
    lines = [
        ": ping",
        "",
        "id: 1",
        "event: x",
        f"data: {head % 1}",
        'data:"data": {}}',
        "",
        "retry: 3",
        "",
        f'data: {head % 1} "data": {{}}}}',
        "",
        "data: cut off",
    ]
    reader = EventReader()
    returned = [event for line in lines if (event := reader.read(line))]
    assert [event.sequence for event in returned] == [1]  # the repeated event is returned once
    reader.start(httpx.Response(200))
    assert reader.read("") is None
    assert reader.request_options["headers"]["Last-Event-ID"] == "1"


def test_an_unreachable_service_raises_after_some_connections() -> None:
    reader = EventReader()
    for _ in range(events.MAX_EMPTY_CONNECTIONS):
        assert reader.reconnect_delay(httpx.ConnectError("refused")) == events.RECONNECT_SECONDS
    with pytest.raises(httpx.ConnectError):
        reader.reconnect_delay(httpx.ConnectError("refused"))
    with pytest.raises(httpx.RemoteProtocolError):
        reader.reconnect_delay(None)
