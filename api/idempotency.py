"""`Idempotency-Key` on every POST that creates something: a repeated request gets the stored answer.

A route that creates something does it in one transaction, so that the answer is stored if and only if the rows are:

    with idempotent.service.begin() as session:
        answer = idempotent.recall(session)
        if answer is None:
            ...  # create the rows
            answer = idempotent.remember(session, Answer(201, body))
"""

import hashlib
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse

from api.auth import caller_of
from api.problems import Problem
from api.service import Service, running_service
from ledger import idempotency
from ledger.idempotency import Answer, InFlight, Mismatch


@dataclass(frozen=True)
class IdempotentRequest:
    """A creating request. Without a `key`, `recall` returns None and `remember` stores nothing."""

    service: Service
    project_id: str
    key: str | None
    fingerprint: bytes

    def recall(self, session: Session) -> Answer | None:
        """The stored answer of the same request, or None.

        Raises Problem if the key is in use at this moment, or came with another request.
        """
        if self.key is None:
            return None
        try:
            return idempotency.recall(session, self.project_id, self.key, self.fingerprint)
        except InFlight as error:
            raise _in_flight() from error
        except Mismatch as error:
            raise Problem(
                "idempotency_key_reused", "this key came with another request: use a new key for a new request"
            ) from error

    def remember(self, session: Session, answer: Answer) -> Answer:
        """Store the answer in the transaction that `recall` began, and return it. Raises Problem."""
        if self.key is None:
            return answer
        hours = self.service.settings.idempotency_hours
        try:
            idempotency.remember(session, self.project_id, self.key, self.fingerprint, answer, hours=hours)
        except InFlight as error:
            raise _in_flight() from error
        return answer


def json_response(answer: Answer, headers: dict[str, str] | None = None) -> JSONResponse:
    """The answer on the wire, with `headers` that are not stored."""
    return JSONResponse(answer.body, answer.status, answer.headers | (headers or {}))


def fingerprint(request: Request, content: bytes) -> bytes:
    """SHA-256 over method, path and body: equal for requests that ask for the same."""
    line = f"{request.method} {request.url.path}\n"
    return hashlib.sha256(line.encode() + content).digest()


def _in_flight() -> Problem:
    return Problem("idempotency_key_in_flight", "wait for the answer of the first request, or send it again later")


async def _idempotent_request(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(
            pattern=r"^[\x21-\x7e]{1,255}$",
            description="Any unique text. The same request with the same key gets the same answer, by default for 24 "
            "hours. Default: none. Give it so that a request can be sent again without a second effect.",
        ),
    ] = None,
) -> IdempotentRequest:
    # Service and caller are read here, because each nested dependency costs a request as much as a query does.
    service, caller = running_service(request), caller_of(request)
    return IdempotentRequest(service, caller.project_id, idempotency_key, fingerprint(request, await request.body()))


IdempotencyDep = Annotated[IdempotentRequest, Depends(_idempotent_request)]
