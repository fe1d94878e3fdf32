"""A mark for tests that need the server itself: behind PgBouncer they are skipped."""

import os

import pytest

IS_POOLED = "prepared_statements" in os.environ.get("LIPE_TEST_DATABASE_URL", "")
without_pooler = pytest.mark.skipif(
    IS_POOLED, reason="a pooler, and not this process, owns the connection to the server"
)
