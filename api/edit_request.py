"""The request body of an edit."""

import re
import secrets
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from api.fields import Id, Metadata, RequestModel, Seed, Text, WebhookUrl
from api.method_parameters import PARAMETERS, AnyParameters, Method
from api.problems import Problem

MAX_PROMPTS = 8
MAX_SEEDS = 8
MAX_IMAGES = 16
MAX_RANDOM_SEED = 2**31

Prompt = Annotated[Text, Field(max_length=500)]


class NewEdit(RequestModel):
    """An edit of one image. Give either `subject_id` (for its newest ready prior) or `prior_id`, and either `prompt` or
    `prompts`.

    The service generates one image for each prompt and seed. `seed` with `n` means n seeds, counted up from it. Without
    a seed the service draws one.
    """

    subject_id: Id | None = None
    prior_id: Id | None = None
    image_id: Id
    prompt: Annotated[Prompt | None, Field(description='Names the subject: "a photo of sks dog jumping".')] = None
    prompts: Annotated[list[Prompt] | None, Field(min_length=1, max_length=MAX_PROMPTS)] = None
    source_prompt: Annotated[Prompt | None, Field(description="Describes the image as it is now.")] = None
    method: Annotated[Method, Field(description="`nima` is LIPE's own; the others are published baselines.")] = "nima"
    parameters: AnyParameters = Field({}, validate_default=True, description="Settings of the method.")
    use_prior: Annotated[bool, Field(description="False: edit with the base model, without the prior.")] = True
    seed: Seed | None = None
    seeds: Annotated[list[Seed] | None, Field(min_length=1, max_length=MAX_SEEDS)] = None
    n: Annotated[int, Field(ge=1, le=MAX_SEEDS)] = 1
    mask_image_id: Annotated[
        Id | None, Field(description="White where the image may change; grays count as the nearer of black and white.")
    ] = None
    metadata: Metadata = Field(default_factory=dict)
    webhook_url: WebhookUrl | None = None

    @field_validator("parameters", mode="plain", json_schema_input_type=AnyParameters)
    @classmethod
    def _validate_by_method(cls, value: Any, info: ValidationInfo) -> Any:
        # An invalid method is absent from `data` and reported already.
        method: Method = info.data.get("method", "nima")
        return PARAMETERS[method].model_validate(value)

    @model_validator(mode="after")
    def _agree(self) -> "NewEdit":
        if (self.subject_id is None) == (self.prior_id is None):
            raise ValueError("give either subject_id or prior_id")
        if (self.prompt is None) == (self.prompts is None):
            raise ValueError("give either prompt or prompts")
        if self.seeds is not None and (self.seed is not None or self.n != 1):
            raise ValueError("give either seeds, or seed and n")
        for name, values in (("prompts", self.prompts), ("seeds", self.seeds)):
            if values is not None and len(set(values)) != len(values):
                raise ValueError(f"{name} must not repeat")
        if len(self.target_prompts()) * len(self.seeds or range(self.n)) > MAX_IMAGES:
            raise ValueError(f"prompts times seeds must be at most {MAX_IMAGES} images")
        if len(self.seeds or range(self.n)) > 1 and not self.parameters.is_seeded():
            if self.method == "nima":
                raise ValueError(
                    "without renoise all seeds give the same image: set parameters.renoise, or give one seed"
                )
            raise ValueError("this method draws no noise, so all seeds give the same image: give one seed")
        if not self.use_prior and (self.prior_id is not None or self.method == "dreamctrl"):
            raise ValueError("without a prior give subject_id, and a method other than dreamctrl")
        return self

    def target_prompts(self) -> list[str]:
        """The prompts, from `prompt` or `prompts`."""
        return self.prompts or [self.prompt or ""]

    def chosen_seeds(self) -> list[int]:
        """The seeds, from `seeds` or from `seed` and `n`; drawn if the request has none."""
        if self.seeds is not None:
            return self.seeds
        first = self.seed if self.seed is not None else secrets.randbelow(MAX_RANDOM_SEED)
        return [first + k for k in range(self.n)]


def require_subject(new_edit: NewEdit, phrase: str) -> None:
    """Raise Problem unless every prompt names the subject as `phrase` ("sks dog")."""
    named = re.compile(rf"(?<!\w){re.escape(phrase)}(?!\w)", re.IGNORECASE)
    for param, prompt in _prompts(new_edit):
        if not prompt:
            raise Problem("prompt_empty", f"describe the image, naming {phrase!r}", param=param)
        if not named.search(prompt):
            raise Problem("prompt_without_subject", f"write {phrase!r} in the prompt {prompt!r}", param=param)


def _prompts(new_edit: NewEdit) -> list[tuple[str, Any]]:
    many = [(f"prompts[{position}]", prompt) for position, prompt in enumerate(new_edit.prompts or [])]
    one = [("prompt", new_edit.prompt), ("source_prompt", new_edit.source_prompt)]
    return many + [(param, prompt) for param, prompt in one if prompt is not None]
