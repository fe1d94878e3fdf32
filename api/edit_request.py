"""What an edit may ask for."""

import re
import secrets
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from api.fields import Id, Metadata, RequestModel, Seed, Text, WebhookUrl
from api.method_parameters import PARAMETERS, AnyParameters, Method
from api.problems import Problem

MOST_PROMPTS = 8
MOST_SEEDS = 8
MOST_PICTURES = 16
LARGEST_RANDOM_SEED = 2**31

Prompt = Annotated[Text, Field(max_length=500)]


class NewEdit(RequestModel):
    """Exactly one of `subject_id` (its newest ready prior) and `prior_id`, and of `prompt` and `prompts`.

    The picture is painted once for each prompt and seed. `seed` with `n` means n seeds, counting from it; without
    any, one is drawn.
    """

    subject_id: Id | None = None
    prior_id: Id | None = None
    image_id: Id
    prompt: Annotated[Prompt | None, Field(description='Names the subject: "a photo of sks dog jumping".')] = None
    prompts: Annotated[list[Prompt] | None, Field(min_length=1, max_length=MOST_PROMPTS)] = None
    source_prompt: Annotated[Prompt | None, Field(description="What the picture shows now.")] = None
    method: Annotated[Method, Field(description="NIMA is LIPE's own, the others are its rivals.")] = "nima"
    parameters: AnyParameters = Field({}, validate_default=True, description="The method's own settings.")
    use_prior: Annotated[bool, Field(description="False: the base model alone, the subject's prior left out.")] = True
    seed: Seed | None = None
    seeds: Annotated[list[Seed] | None, Field(min_length=1, max_length=MOST_SEEDS)] = None
    n: Annotated[int, Field(ge=1, le=MOST_SEEDS)] = 1
    mask_image_id: Annotated[
        Id | None, Field(description="White where the picture may change; greys count as what is nearer.")
    ] = None
    metadata: Metadata = Field(default_factory=dict)
    webhook_url: WebhookUrl | None = None

    @field_validator("parameters", mode="plain", json_schema_input_type=AnyParameters)
    @classmethod
    def _of_its_method(cls, value: Any, info: ValidationInfo) -> Any:
        method: Method = info.data.get("method", "nima")  # a method that does not exist is refused already
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
        if len(self.target_prompts()) * len(self.seeds or range(self.n)) > MOST_PICTURES:
            raise ValueError(f"prompts times seeds must be at most {MOST_PICTURES} pictures")
        if len(self.seeds or range(self.n)) > 1 and not self.parameters.is_seeded():
            raise ValueError(
                "this method draws no noise, so all seeds give one picture: give one seed (NIMA: or renoise)"
            )
        if not self.use_prior and (self.prior_id is not None or self.method == "dreamctrl"):
            raise ValueError("without a prior give subject_id, and another method than dreamctrl")
        return self

    def target_prompts(self) -> list[str]:
        """All prompts, however they were given."""
        return self.prompts or [self.prompt or ""]

    def chosen_seeds(self) -> list[int]:
        """The seeds, drawn if none was given."""
        if self.seeds is not None:
            return self.seeds
        first = self.seed if self.seed is not None else secrets.randbelow(LARGEST_RANDOM_SEED)
        return [first + k for k in range(self.n)]


def require_subject(asked: NewEdit, phrase: str) -> None:
    """Every prompt must name the subject as `phrase` ("sks dog"). Raises Problem."""
    named = re.compile(rf"(?<!\w){re.escape(phrase)}(?!\w)", re.IGNORECASE)
    for param, prompt in _prompts(asked):
        if not prompt:
            raise Problem("prompt_empty", f"describe the picture, naming {phrase!r}", param=param)
        if not named.search(prompt):
            raise Problem("prompt_without_subject", f"write {phrase!r} in the prompt {prompt!r}", param=param)


def _prompts(asked: NewEdit) -> list[tuple[str, Any]]:
    many = [(f"prompts[{position}]", prompt) for position, prompt in enumerate(asked.prompts or [])]
    one = [("prompt", asked.prompt), ("source_prompt", asked.source_prompt)]
    return many + [(param, prompt) for param, prompt in one if prompt is not None]
