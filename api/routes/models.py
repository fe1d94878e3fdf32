"""Models: the base models that live workers have loaded."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.auth import CallerDep
from api.pagination import Listing
from api.service import ServiceDep
from ledger import workers
from ledger.states import JobKind

router = APIRouter(prefix="/models", tags=["models"])


class ModelBody(BaseModel):
    """A base model that live workers have loaded."""

    name: Annotated[str, Field(description="The name of the checkpoint: its hub id or its folder's name.")]
    fingerprint: Annotated[str, Field(description="SHA-256 over the weights. A prior fits only one fingerprint.")]
    family: Annotated[str, Field(description="The family of networks, such as `sdxl`.")]
    native_size: Annotated[int, Field(description="Side in pixels of the square images that it was trained on.")]
    miniature: Annotated[bool, Field(description="Whether it is LIPE's miniature, which knows drawings, no photos.")]
    license: Annotated[str | None, Field(description="The licence that the checkpoint's model card states, if any.")]
    kinds: Annotated[list[JobKind], Field(description="The kinds of jobs that these workers take.")]
    workers: Annotated[int, Field(description="Number of live workers that have loaded it.")]


@router.get("", operation_id="list_models", response_model=Listing[ModelBody])
def list_models(service: ServiceDep, caller: CallerDep) -> Any:
    """The base models that live workers have loaded, by name, on one page. Empty if no worker has loaded one."""
    with service.begin() as session:
        served = workers.served_models(session)
    rows = [{**model.description, "kinds": model.kinds, "workers": model.workers} for model in served]
    return {"data": rows, "has_more": False, "next_cursor": None}
