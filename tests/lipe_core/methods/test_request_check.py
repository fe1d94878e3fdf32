"""A request that the base model cannot read, or whose negative prompt has no effect, is refused before any work."""

from dataclasses import replace

import pytest

from lipe_core.errors import InvalidRequest
from lipe_core.methods.registry import METHODS
from lipe_core.methods.request_check import check_request
from lipe_core.sdxl import BaseModel
from tests.support.editing import SOURCE, TARGET, MakeRequest

LONG = " ".join(["dog"] * 80)


def test_a_prompt_of_the_longest_length_is_accepted(deep_model: BaseModel, ask: MakeRequest) -> None:
    room = deep_model.tokenizers[0].model_max_length - 2 - len(TARGET.split())
    request = ask(" ".join([TARGET, *["dog"] * room]))
    check_request(deep_model, "nima", request, METHODS["nima"].config())


def test_every_prompt_that_is_too_long_is_refused(deep_model: BaseModel, ask: MakeRequest) -> None:
    plain = ask()
    for method, request in (
        ("nima", ask(TARGET, f"{TARGET} {LONG}")),
        ("ddim", ask(source=f"{SOURCE} {LONG}")),
        ("ddim", replace(plain, negative_prompt=LONG)),
        ("nima", replace(plain, source_prompt=f"{SOURCE} {LONG[:160]}", negative_prompt=LONG[:160])),
    ):
        with pytest.raises(InvalidRequest, match=r"the prompt .* tokens, and the base model reads \d+: shorten it"):
            check_request(deep_model, method, request, METHODS[method].config())


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if not method.has_negative_prompt])
def test_methods_without_a_negative_prompt_refuse_it(deep_model: BaseModel, ask: MakeRequest, method: str) -> None:
    request = replace(ask(), negative_prompt="blurry")
    with pytest.raises(InvalidRequest, match=f"{method} has no negative prompt: leave it out, or choose from nima"):
        check_request(deep_model, method, request, METHODS[method].config())


def test_a_negative_prompt_without_guidance_is_refused(deep_model: BaseModel, ask: MakeRequest) -> None:
    request, config = replace(ask(), negative_prompt="blurry"), METHODS["nima"].config
    with pytest.raises(InvalidRequest, match="a guidance_scale of 1 ignores the negative prompt"):
        check_request(deep_model, "nima", request, config(guidance_scale=1))
    check_request(deep_model, "nima", request, config(guidance_scale=1.5))
