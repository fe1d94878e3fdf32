"""Checks of a request that need the base model or the method's settings, made before any work."""

from typing import Any

from lipe_core.backbone import BaseModel
from lipe_core.errors import InvalidRequest, PromptTooLong
from lipe_core.methods.registry import METHODS
from lipe_core.methods.request import EditRequest
from lipe_core.quantization import is_quantized


def check_request(model: BaseModel, method: str, request: EditRequest, config: Any) -> None:
    """Raise InvalidRequest for a method that cannot work with the base model, and for prompts without their effect.

    The text encoders would leave out the end of a long prompt without a word about it.
    """
    _check_family(model, method)
    texts = [request.source_prompt, *request.target_prompts]
    if request.negative_prompt:
        _check_guidance(method, config)
        both = f"{request.source_prompt}, {request.negative_prompt}"
        texts.append(both if method == "nima" else request.negative_prompt)  # NIMA's guidance leads away from both
    for text in texts:
        try:
            model.require_length(text)
        except PromptTooLong as error:
            raise InvalidRequest(f"the prompt {error}") from error


def _check_family(model: BaseModel, method: str) -> None:
    if not METHODS[method].fits(model.family):
        known = ", ".join(name for name, other in METHODS.items() if other.fits(model.family))
        families = ", ".join(METHODS[method].families or ())
        raise InvalidRequest(
            f"{method} is made for base models of the family {families}, and {model.name} is of the family "
            f"{model.family}: choose from {known}"
        )
    if METHODS[method].trains_network and is_quantized(model.network):
        raise InvalidRequest(
            f"{method} trains all weights of the base model, which cannot be done in 8 bits: choose another method, or "
            "set LIPE_BASE_MODEL_BITS=16"
        )


def _check_guidance(method: str, config: Any) -> None:
    if not METHODS[method].has_negative_prompt:
        known = ", ".join(name for name, other in METHODS.items() if other.has_negative_prompt)
        raise InvalidRequest(f"{method} has no negative prompt: leave it out, or choose from {known}")
    if config.guidance_scale == 1:
        raise InvalidRequest("a guidance_scale of 1 ignores the negative prompt: raise it, or leave the prompt out")
