"""Request models of the settings of every editing method, and the names of the methods."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Union, cast

from pydantic import model_validator

from api.fields import RequestModel
from api.settings_models import SCHEMA, settings_model


class MethodParameters(RequestModel):
    """Settings of one method. `seeded` methods give a different image for each seed."""

    seeded: ClassVar[bool] = True

    def is_seeded(self) -> bool:
        """Whether two seeds give two images, as far as the request decides it."""
        return self.seeded


class NimaChecks(MethodParameters):
    """Rules that join several settings of NIMA; `lipe_core` has the same."""

    @model_validator(mode="after")
    def _agree(self) -> "NimaChecks":
        given = self.given()
        if "map_window" in given and given["map_window"][0] > given["map_window"][1]:
            raise ValueError("map_window must run upwards")
        if given.get("blend_start", 0) > given.get("blend_stop", 1):
            raise ValueError("blend_start must not be above blend_stop")
        if "strength" in given and "steps" in given and round(given["strength"] * given["steps"]) < 1:
            raise ValueError("strength leaves no step to do: raise it, or steps")
        return self

    def is_seeded(self) -> bool:
        """Unless the request switches `renoise` off: the recipe of the base model may switch it on."""
        return self.given().get("renoise") != 0


def _model(method: str, schema: Mapping[str, Any]) -> type[MethodParameters]:
    model = cast(type[MethodParameters], settings_model(schema, NimaChecks if method == "nima" else MethodParameters))
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
