"""The base model that a job needs: that of its prior, the one that the request names, or the service's default.

Only workers that have loaded it claim the job. A job that needs none in particular goes to any worker of its kind.
"""

from typing import Annotated

from pydantic import Field
from sqlalchemy.orm import Session

from api import problems
from api.effective_settings import Settings as Given
from api.effective_settings import schema_of, unsupported
from api.fields import Text
from api.problems import Problem
from ledger import base_models
from ledger.base_models import BaseModel
from ledger.edit_inputs import EditInputs
from ledger.settings import Settings
from ledger.states import JobKind

PARAM = "base_model"
BASE_MODEL_PROBLEMS = ("base_model_unknown", "default_base_model_unknown")
BaseModelName = Annotated[Text, Field(min_length=1, max_length=200)]


def named_model(session: Session, name: str | None, kind: JobKind) -> BaseModel | None:
    """The base model that a request names; None without a name. Raises Problem for one that no worker ever had."""
    if name is None:
        return None
    found = base_models.find(session, name, kind)
    if found is None:
        known = ", ".join(base_models.names(session)) or "none yet"
        detail = f"no worker of this service has had the base model {name}: choose from {known}, or leave it out"
        raise Problem("base_model_unknown", detail, param=PARAM)
    return found


def model_of_job(session: Session, settings: Settings, name: str | None, kind: JobKind) -> BaseModel | None:
    """The base model that a request without a prior names, or else the service's default. None: any. Raises Problem."""
    if name is not None or not settings.default_base_model:
        return named_model(session, name, kind)
    found = base_models.find(session, settings.default_base_model, kind)
    if found is None:
        detail = (
            f"the service's default is {settings.default_base_model}, and no worker has loaded it yet: name another "
            "base_model, or ask the operator to start a worker of it or to correct LIPE_DEFAULT_BASE_MODEL"
        )
        raise Problem("default_base_model_unknown", detail)
    return found


def model_of_training(session: Session, settings: Settings, name: str | None, given: Given) -> BaseModel | None:
    """The base model that a training needs. `given` are the settings of its request.

    If only some of the served base models have all these settings, it is the first of them. Raises Problem for a
    setting that the base model lacks.
    """
    model = model_of_job(session, settings, name, "prior")
    fingerprint = model.fingerprint if model else None
    if (lacking := unsupported(session, "prior", "prior", given, fingerprint)) is not None:
        detail = f"the base model cannot train with {lacking}: leave it out, or name another base_model"
        raise problems.invalid(detail, param=f"parameters.{lacking}")
    if model is not None:
        return model
    served = base_models.served(session, "prior")
    fitting = [one for one in served if unsupported(session, "prior", "prior", given, one.fingerprint) is None]
    return fitting[0] if 0 < len(fitting) < len(served) else None


def model_of_edit(
    session: Session, settings: Settings, named: BaseModel | None, method: str, inputs: EditInputs | None
) -> str | None:
    """The fingerprint of the base model that an edit needs. `inputs` are those of an edit with a prior.

    Raises Problem for a base model that is not the prior's, and for a method that is not made for it.
    """
    if inputs is not None:
        if named is not None and inputs.base_model not in (None, named.fingerprint):
            raise Problem("base_model_mismatch", _mismatch(session, inputs, named), param=PARAM)
        of_prior = base_models.find(session, inputs.base_model, "edit") if inputs.base_model else None
        _require_family(method, of_prior or named)
        return inputs.base_model or (named.fingerprint if named else None)
    found = named or model_of_job(session, settings, None, "edit") or _served_for(session, method)
    _require_family(method, found)
    return found.fingerprint if found else None


def _mismatch(session: Session, inputs: EditInputs, named: BaseModel) -> str:
    own = base_models.find(session, inputs.base_model or "", "edit")
    name = own.name if own else (inputs.base_model or "")[:12]
    return (
        f"the prior was trained on the base model {name}, not on {named.name}: leave base_model out, or train a prior "
        f"of the subject with base_model {named.name}"
    )


def _served_for(session: Session, method: str) -> BaseModel | None:
    """A served base model that the method is made for, if it is not made for all. None: any, or none is served."""
    families = _families(method)
    served = base_models.served(session, "edit") if families else []
    return next((model for model in served if model.family in (families or ())), served[0] if served else None)


def _require_family(method: str, model: BaseModel | None) -> None:
    families = _families(method)
    if model is not None and families is not None and model.family not in families:
        detail = (
            f"{method} is made for base models of the family {', '.join(families)}, and {model.name} is of the family "
            f"{model.family}: choose another method, such as nima"
        )
        raise problems.invalid(detail, param="method")


def _families(method: str) -> list[str] | None:
    """The families of base models that a method is made for; None means all."""
    found: list[str] | None = schema_of(method)["families"]
    return found
