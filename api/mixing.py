"""The mix of an edit: a second prior, added to the edit's own with a weight."""

from typing import Annotated, Any

from pydantic import Field
from sqlalchemy.orm import Session

from api import problems
from api.consent import require_valid
from api.fields import Id, RequestModel, ResponseModel
from api.problems import Problem
from ledger import edits, priors

MAX_WEIGHT = 2.0
PARAM = "mix.prior_id"


class NewMix(RequestModel):
    """A second prior, such as a style. docs/mixing.md says what can be mixed."""

    prior_id: Id
    """Id of the second prior. It may belong to another subject of the project, with the same base model."""

    weight: Annotated[float, Field(gt=0, le=MAX_WEIGHT)] = 1.0
    """Factor of the second prior's change of the base model; that of the edit's own prior is 1. No unit. Lower it if
    the result loses the subject's identity."""


class MixBody(ResponseModel):
    """The second prior of an edit."""

    prior_id: str | None
    """Id of the second prior; null if it was deleted."""

    weight: float
    """Factor of its change of the base model."""


def checked_mix(session: Session, project_id: str, mix: NewMix, prior_id: str) -> edits.Mix:
    """The mix of the edit that uses the prior `prior_id`. Raises Problem unless the two can be mixed."""
    first, second = (priors.get(session, project_id, identifier) for identifier in (prior_id, mix.prior_id))
    if first is None:
        raise problems.not_found("prior", prior_id, param="prior_id")
    if second is None:
        raise problems.not_found("prior", mix.prior_id, param=PARAM)
    if second.ready_at is None:
        raise Problem("prior_not_ready", "wait until its job has succeeded", param=PARAM)
    require_valid(session, second.subject_id)
    if first.id == second.id:
        raise Problem("priors_not_mixable", "it is the edit's own prior: name another one", param=PARAM)
    if reason := _difference(first.manifest or {}, second.manifest or {}):
        raise Problem("priors_not_mixable", reason, param=PARAM)
    return edits.Mix(second.id, second.subject_id, mix.weight)


def mix_body(edit: Any) -> MixBody | None:
    """The mix of a row, or None."""
    return None if edit.mix_weight is None else MixBody(prior_id=edit.mix_prior_id, weight=edit.mix_weight)


def _difference(first: dict[str, Any], second: dict[str, Any]) -> str | None:
    """The reason why priors with these manifests cannot be mixed, or None. The worker checks the tensors."""
    if first.get("fingerprint") != second.get("fingerprint"):
        names = f"{first.get('base_model')} and {second.get('base_model')}"
        return f"the priors were trained on different base models, {names}: train both on one base model"
    if _tuning(first) != _tuning(second):
        return f"one prior is {_tuning(first)}, the other {_tuning(second)}: train both with the same `tuning`"
    token = second.get("token")
    if _setting(second, "token_learning_rate") and token == first.get("token"):
        return f"both priors define the token {token!r}: train one of them for a subject with another token"
    return None


def _tuning(manifest: dict[str, Any]) -> str:
    """The kind of the prior's weights. An imported prior is a LoRA."""
    return str(_setting(manifest, "tuning") or "lora")


def _setting(manifest: dict[str, Any], name: str) -> Any:
    return manifest.get("config", {}).get("prior", {}).get(name)
