"""All operations of the service, described once for both clients."""

from lipe_client.captions import CaptionOperations
from lipe_client.decisions import Decisions
from lipe_client.edits import Edits
from lipe_client.endpoints import Endpoints
from lipe_client.images import Images
from lipe_client.jobs import Jobs
from lipe_client.keys import Keys
from lipe_client.masks import Masks
from lipe_client.priors import Priors
from lipe_client.served import Served
from lipe_client.studies import Studies
from lipe_client.subjects import Subjects
from lipe_client.verification import Verifications


class Resources(
    Images,
    Subjects,
    CaptionOperations,
    Masks,
    Priors,
    Edits,
    Jobs,
    Served,
    Endpoints,
    Keys,
    Decisions,
    Verifications,
    Studies,
):
    """The operations of both clients.

    A refused request raises `Problem`. The clients retry idempotent requests. A parameter that takes a resource
    also takes its id.
    """
