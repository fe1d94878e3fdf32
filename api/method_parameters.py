"""Request models of the settings of every editing method, and the names of the methods."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Union, cast

from api.fields import RequestModel
from api.settings_models import SCHEMA, settings_model


class MethodParameters(RequestModel):
    """Settings of one method. `seeded` methods give a different image for each seed."""

    seeded: ClassVar[bool] = True

    def is_seeded(self) -> bool:
        """Whether two seeds give two images, as far as the request decides it."""
        return self.seeded


class NimaParameters(MethodParameters):
    """NIMA draws noise only for `renoise`, which several seeds raise above 0 unless the request sets it."""

    def is_seeded(self) -> bool:
        """Whether the request leaves `renoise` out or sets it above 0."""
        return bool(self.given().get("renoise", True))


def _model(method: str, schema: Mapping[str, Any]) -> type[MethodParameters]:
    model = cast(
        type[MethodParameters], settings_model(schema, NimaParameters if method == "nima" else MethodParameters)
    )
    model.seeded = schema["seeded"]
    return model


PARAMETERS: Mapping[str, type[MethodParameters]] = {
    method: _model(method, schema) for method, schema in SCHEMA["methods"].items()
}

if TYPE_CHECKING:  # mypy cannot evaluate types that are made from a file
    Method = str
    AnyParameters = MethodParameters
else:
    Method = Literal[tuple(PARAMETERS)]
    AnyParameters = Union[tuple(PARAMETERS.values())]  # noqa: UP007
