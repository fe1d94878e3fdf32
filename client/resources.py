"""All calls of the service, described once for both clients."""

from client.edits import Edits
from client.endpoints import Endpoints
from client.images import Images
from client.jobs import Jobs
from client.priors import Priors
from client.subjects import Subjects


class Resources(Images, Subjects, Priors, Edits, Jobs, Endpoints):
    """Every refusal is a `Problem`; what may be sent again, is. Wherever a thing is asked for, its id will do."""
