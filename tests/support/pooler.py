"""A mark for tests that need the server itself: behind PgBouncer they are skipped."""

import os

import pytest

without_pooler = pytest.mark.skipif(
    "prepared_statements" in os.environ.get("LIPE_TEST_DATABASE_URL", ""),
    reason="a pooler, and not this process, owns the connection to the server",
)
