"""A claimed job: progress goes out, control comes back, and both are one database write.

The lease is renewed by progress alone. A worker that is alive but stuck loses its job; a worker that comes back
from the dead finds its writes refused, because another attempt has a newer epoch.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session, sessionmaker

from ledger import jobs
from ledger.jobs import Claim, Control

RENEW_SECONDS = 0.2


class Canceled(Exception):
    """The job was cancelled: stop, write nothing."""


class Draining(Exception):
    """This worker was told to stop: checkpoint, give the job back uncharged."""


class Lost(Exception):
    """The lease ran out and the job is another attempt's: stop, write nothing."""


class Attempt:
    """One attempt at one job."""
