"""Types and times that the reliability tests share."""

from collections.abc import Callable

from tests.reliability.programs import Body, Program

Start = Callable[[Body], Program]


Audited = Callable[[], None]


LEASE_SECONDS = 3.0
