"""Models: the base models that live workers have loaded."""

from typing import Any

from fastapi import APIRouter
from pydantic import Field

from api.auth import CallerDep
from api.fields import ResponseModel
from api.pagination import Listing
from api.service import ServiceDep
from ledger import workers
from ledger.states import JobKind

router = APIRouter(prefix="/models", tags=["models"])


class ModelBody(ResponseModel):
    """A base model that live workers have loaded."""

    name: str
    """The name of the checkpoint: the `model_name` of its model card, its hub id or its folder's name."""

    fingerprint: str
    """SHA-256 over the weights. A prior fits only one fingerprint."""

    family: str
    """The family of networks, such as `sdxl`."""

    native_size: int
    """Side in pixels of the square images that it was trained on."""

    miniature: bool
    """Whether it is LIPE's miniature, which knows drawings, no photos."""

    license: str | None
    """The licence that the checkpoint's model card states, if any."""

    recipe: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """The settings that apply where a request gives none, for `prior`, `regularization` and each editing method that is
    made for the base model. Requests with another method, or with a setting that is missing here, are refused."""

    choices: dict[str, dict[str, dict[str, dict[str, Any]]]] = Field(default_factory=dict)
    """The settings that each option of `preset`, `identity` and `change` replaces, for `prior` and each editing method.
    `seeds` is chosen by the number of seeds."""

    kinds: list[JobKind]
    """The kinds of jobs that these workers take."""

    workers: int
    """Number of live workers that have loaded it."""


@router.get("", operation_id="list_models", response_model=Listing[ModelBody])
def list_models(service: ServiceDep, caller: CallerDep) -> Any:
    """The base models that live workers have loaded, on one page: the service's default first, then by name.

    Empty if no worker has loaded one.
    """
    with service.begin() as session:
        served = workers.served_models(session)
    default = service.settings.default_base_model
    served.sort(key=lambda model: default not in (model.description["name"], model.description["fingerprint"]))
    rows = [{**model.description, "kinds": model.kinds, "workers": model.workers} for model in served]
    return {"data": rows, "has_more": False, "next_cursor": None}
