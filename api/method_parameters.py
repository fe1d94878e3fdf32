"""Settings of every editing method. What is left out is the method's own default, or the base model's recipe."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from api.fields import Name, RequestModel, Seed

Share = Annotated[float, Field(ge=0, le=1)]
Steps = Annotated[int, Field(ge=1, le=200)]
Guidance = Annotated[float, Field(ge=1, le=30)]
Level = Share | Literal["otsu"]
Noun = Annotated[Name, Field(max_length=64)]
Tokens = Annotated[int, Field(ge=16, le=4096)]
Method = Literal["nima", "ddim", "sdedit", "prompt_to_prompt", "masactrl", "dreamctrl", "imagic", "ledits", "mystyle"]


class MethodParameters(RequestModel):
    """What all have in common: whether the seed matters. Where it does not, all seeds give one picture."""

    seeded: ClassVar[bool] = True

    def is_seeded(self) -> bool:
        """Whether two seeds give two pictures, as far as the request decides that."""
        return self.seeded


class NimaParameters(MethodParameters):
    """Settings of NIMA, LIPE's own."""

    steps: Steps | None = None
    guidance_scale: Guidance | None = None
    source_guidance_scale: Guidance | None = None
    guide_from: Literal["empty", "base", "source"] | None = None
    strength: Annotated[float | None, Field(gt=0, le=1)] = None
    renoise: Share | None = None
    inversion_refinements: Annotated[int | None, Field(ge=0, le=10)] = None
    mask_mode: Literal["union", "source", "none"] | None = None
    threshold: Level | None = None
    dilation: Annotated[float | None, Field(ge=0, le=0.5)] = None
    feather: Annotated[float | None, Field(ge=0, le=0.5)] = None
    snap: Annotated[float | None, Field(ge=0, le=0.25)] = None
    grabcut_rounds: Annotated[int | None, Field(ge=0, le=10)] = None
    coverage: Annotated[float | None, Field(ge=0, lt=1)] = None
    looks: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(max_length=16)] | None = None
    opening: Annotated[float | None, Field(ge=0, le=0.1)] = None
    halo: Annotated[float | None, Field(ge=0, le=0.1)] = None
    reconstruction_steps: Annotated[int | None, Field(ge=0, le=100)] = None
    tolerance: Annotated[float | None, Field(ge=0, lt=2)] = None
    source_attention_start: Share | None = None
    subject_map: Literal["identity", "class", "contrast"] | None = None
    contrast_nouns: Annotated[tuple[Noun, ...], Field(min_length=1, max_length=8)] | None = None
    map_window: tuple[Share, Share] | None = None
    map_momentum: Share | None = None
    attention_tokens: Tokens | None = None
    refine: Annotated[int | None, Field(ge=0, le=10)] = None
    blend_start: Share | None = None
    blend_stop: Share | None = None
    composite: bool | None = None

    @model_validator(mode="after")
    def _agree(self) -> "NimaParameters":
        if self.map_window is not None and self.map_window[0] > self.map_window[1]:
            raise ValueError("map_window must run upwards")
        if self.blend_start is not None and self.blend_stop is not None and self.blend_start > self.blend_stop:
            raise ValueError("blend_start must not be above blend_stop")
        if self.strength is not None and self.steps is not None and round(self.strength * self.steps) < 1:
            raise ValueError("strength leaves no step to do: raise it, or steps")
        return self

    def is_seeded(self) -> bool:
        return self.renoise != 0


class DdimParameters(MethodParameters):
    """Settings of plain DDIM: inversion, and sampling with the new prompt."""

    seeded: ClassVar[bool] = False
    steps: Steps | None = None
    guidance_scale: Guidance | None = None


class SdeditParameters(MethodParameters):
    """Settings of SDEdit."""

    steps: Steps | None = None
    guidance_scale: Guidance | None = None
    strength: Annotated[float | None, Field(ge=0.01, le=1)] = None


class PromptToPromptParameters(MethodParameters):
    """Settings of prompt-to-prompt with its local blend."""

    seeded: ClassVar[bool] = False
    steps: Steps | None = None
    guidance_scale: Guidance | None = None
    cross_replace: Share | None = None
    self_replace: Share | None = None
    self_tokens: Annotated[int | None, Field(ge=0, le=16384)] = None
    blend_words: Literal["subject", "changed"] | None = None
    blend_start: Share | None = None
    threshold: Level | None = None
    dilation: Annotated[float | None, Field(ge=0, le=0.5)] = None
    attention_tokens: Tokens | None = None


class MasaCtrlParameters(MethodParameters):
    """Settings of MasaCtrl, and of DreamCtrl, which is MasaCtrl with the subject's prior."""

    seeded: ClassVar[bool] = False
    steps: Steps | None = None
    guidance_scale: Guidance | None = None
    start_step: Annotated[int | None, Field(ge=0, le=200)] = None
    start_layer: Annotated[int | None, Field(ge=0, le=1000)] = None
    masked: bool | None = None
    threshold: Level | None = None
    attention_tokens: Tokens | None = None


class ImagicParameters(MethodParameters):
    """Settings of Imagic, which trains for every edit."""

    steps: Steps | None = None
    guidance_scale: Guidance | None = None
    embedding_steps: Annotated[int | None, Field(ge=0, le=5000)] = None
    embedding_learning_rate: Annotated[float | None, Field(gt=0, le=1)] = None
    model_steps: Annotated[int | None, Field(ge=0, le=5000)] = None
    model_learning_rate: Annotated[float | None, Field(gt=0, le=1)] = None
    eta: Share | None = None
    training_seed: Seed | None = None


class LeditsParameters(MethodParameters):
    """Settings of LEDITS++."""

    steps: Annotated[int | None, Field(ge=2, le=200)] = None
    source_guidance_scale: Guidance | None = None
    edit_guidance_scale: Guidance | None = None
    skip: Share | None = None
    threshold: Share | None = None
    warmup_steps: Annotated[int | None, Field(ge=0, le=200)] = None
    zero_noise_steps: Annotated[int | None, Field(ge=0, le=200)] = None


class MyStyleParameters(MethodParameters):
    """Settings of MyStyle, which trains a face generator on the subject's references for every edit: faces only."""

    seeded: ClassVar[bool] = False
    inversion_steps: Annotated[int | None, Field(ge=0, le=5000)] = None
    inversion_learning_rate: Annotated[float | None, Field(gt=0, le=1)] = None
    tuning_steps: Annotated[int | None, Field(ge=0, le=5000)] = None
    tuning_learning_rate: Annotated[float | None, Field(gt=0, le=1)] = None
    projection_steps: Annotated[int | None, Field(ge=0, le=5000)] = None
    projection_learning_rate: Annotated[float | None, Field(gt=0, le=1)] = None
    picture_steps: Annotated[int | None, Field(ge=0, le=5000)] = None
    beta: Annotated[float | None, Field(ge=0, le=10)] = None
    strength: Annotated[float | None, Field(ge=0, le=10)] = None


AnyParameters = (
    NimaParameters
    | DdimParameters
    | SdeditParameters
    | PromptToPromptParameters
    | MasaCtrlParameters
    | ImagicParameters
    | LeditsParameters
    | MyStyleParameters
)
PARAMETERS: Mapping[Method, type[MethodParameters]] = {
    "nima": NimaParameters,
    "ddim": DdimParameters,
    "sdedit": SdeditParameters,
    "prompt_to_prompt": PromptToPromptParameters,
    "masactrl": MasaCtrlParameters,
    "dreamctrl": MasaCtrlParameters,
    "imagic": ImagicParameters,
    "ledits": LeditsParameters,
    "mystyle": MyStyleParameters,
}
