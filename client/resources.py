"""All operations of the service, described once for both clients."""

from client.edits import Edits
from client.endpoints import Endpoints
from client.images import Images
from client.jobs import Jobs
from client.priors import Priors
from client.served import Served
from client.subjects import Subjects


class Resources(Images, Subjects, Priors, Edits, Jobs, Served, Endpoints):
    """The operations of both clients.

    A refused request raises `Problem`. The clients retry idempotent requests. A parameter that takes a resource
    also takes its id.
    """
