"""Types and times that the reliability tests share."""

from collections.abc import Callable

from tests.reliability.programs import Body, Program

Start = Callable[[Body], Program]
RunAudit = Callable[[], None]

LEASE_SECONDS = 120.0
"""Longer than a loaded machine delays a renewal. A test that needs an expired lease calls `expire_lease`."""
SHORT_LEASE_SECONDS = 8.0
"""For tests of an operation that takes longer than the lease."""
