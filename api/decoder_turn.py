"""A request's turn at the decoder, unless its client has left meanwhile."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request
from starlette.requests import ClientDisconnect

from api.service import Service


@asynccontextmanager
async def decoder_turn(request: Request, service: Service, project_id: str) -> AsyncIterator[None]:
    """Context manager that waits for the project's turn and holds it.

    Raises ClientDisconnect if the client has left while it waited: no client would read the answer. Call it when the
    request's body has been read.
    """
    async with service.decoder.queue.turn(project_id):
        if await request.is_disconnected():
            raise ClientDisconnect
        yield
