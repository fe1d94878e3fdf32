"""`Idempotency-Key` on every POST that creates: the same request, sent again, creates nothing again."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request
from sqlalchemy.orm import Session

from api.auth import caller_of
from api.problems import Problem
from api.service import Service, running_service
from ledger import idempotency
from ledger.idempotency import Answer, InFlight, Mismatch


@dataclass(frozen=True)
class Once:
    """Runs a creation in one transaction, or recalls its answer. `key` None: runs it each time."""

    service: Service
    project_id: str
    key: str | None
    fingerprint: bytes

    def __call__(self, create: Callable[[Session], Answer]) -> Answer:
        """The answer of `create`, kept with what it created. Raises Problem."""
        with self.service.begin() as session:
            if self.key is None:
                return create(session)
            with _named_refusals():
                earlier = idempotency.recall(session, self.project_id, self.key, self.fingerprint)
            if earlier is not None:
                return earlier
            answer = create(session)
            hours = self.service.settings.idempotency_hours
            with _named_refusals():
                idempotency.remember(session, self.project_id, self.key, self.fingerprint, answer, hours=hours)
            return answer


@contextmanager
def _named_refusals() -> Iterator[None]:
    try:
        yield
    except InFlight as error:
        raise Problem(
            "idempotency_key_in_flight", "wait for the answer of the first request, or send it again later"
        ) from error
    except Mismatch as error:
        raise Problem(
            "idempotency_key_reused", "this key came with another request: use a new key for a new request"
        ) from error


def fingerprint(request: Request, content: bytes) -> bytes:
    """What makes two requests the same."""
    line = f"{request.method} {request.url.path}\n"
    return hashlib.sha256(line.encode() + content).digest()


async def _once(
    request: Request,
    idempotency_key: Annotated[
        str | None, Header(pattern=r"^[\x21-\x7e]{1,255}$", description="Any unique text, kept for 24 hours.")
    ] = None,
) -> Once:
    # Looked up here: each dependency of a dependency costs a request as much as a query does.
    service, caller = running_service(request), caller_of(request)
    return Once(service, caller.project_id, idempotency_key, fingerprint(request, await request.body()))


Creating = Annotated[Once, Depends(_once)]
