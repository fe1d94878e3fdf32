"""The operation that lists the base models which the service's workers have loaded."""

from lipe_client.call import Call, path_of
from lipe_client.models import ServedModel, ServedModels
from lipe_client.operations import operation


class Served:
    """The operation on base models."""

    @operation
    def models(self) -> Call[tuple[ServedModel, ...]]:
        """The base models that live workers have loaded, by name."""
        return Call("GET", path_of("models"), _models)


def _models(content: bytes) -> tuple[ServedModel, ...]:
    return ServedModels.model_validate_json(content).data
