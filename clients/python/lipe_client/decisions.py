"""Operations on the log of decisions."""

from datetime import datetime

from lipe_client.call import Listing, filters, path_of
from lipe_client.models import Decision
from lipe_client.operations import list_operation


class Decisions:
    """The operations on the project's log of decisions."""

    @list_operation
    def decisions(
        self,
        *,
        concerning: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> Listing[Decision]:
        """All decisions, newest first; with `concerning`, those about the resource with that id."""
        times = filters(created_after=created_after, created_before=created_before)
        return Listing(path_of("decisions"), Decision, times | ({"concerning": concerning} if concerning else {}))
