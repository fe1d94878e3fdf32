"""The operations that list the workers, and the base models which they have loaded."""

from lipe_client.call import Call, path_of
from lipe_client.models import ServedModel, ServedModels, Worker, Workers
from lipe_client.operations import operation


class Served:
    """The operations on workers and base models."""

    @operation
    def models(self) -> Call[tuple[ServedModel, ...]]:
        """The base models that live workers have loaded, by name."""
        return Call("GET", path_of("models"), _models)

    @operation
    def workers(self) -> Call[tuple[Worker, ...]]:
        """All workers of the service, by name. Needs a key with the scope `operator`."""
        return Call("GET", path_of("workers"), _workers)


def _models(content: bytes) -> tuple[ServedModel, ...]:
    return ServedModels.model_validate_json(content).data


def _workers(content: bytes) -> tuple[Worker, ...]:
    return Workers.model_validate_json(content).data
