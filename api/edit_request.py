"""The request body of an edit."""

import secrets
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, ValidationInfo, field_validator, model_validator

from api.base_model import BaseModelName
from api.choices import (
    Change,
    Identity,
    Preset,
    chosen,
    methods_with,
    methods_with_negative_prompt,
    methods_with_prior,
)
from api.fields import DeadlineSeconds, Id, Metadata, Priority, RequestModel, Seed, Text, WebhookUrl
from api.method_parameters import PARAMETERS, AnyParameters, Method
from api.mixing import NewMix
from api.webhook_choice import require_webhook_url
from ledger.webhooks import EditEventType

MAX_PROMPTS = 8
MAX_SEEDS = 8
MAX_IMAGES = 16
MAX_RANDOM_SEED = 2**31

OutputFormat = Literal["png", "jpeg", "webp"]
Included = Literal["uncomposited"]
Prompt = Annotated[Text, Field(max_length=500)]


class NewEdit(RequestModel):
    """An edit of one image. Give either `subject_id` (for its newest ready prior) or `prior_id`, and one of `prompt`,
    `prompts` and `action`.

    The service generates one image for each prompt and seed. `seed` with `n` means n seeds, counted up from it. Without
    a seed the service draws one.
    """

    subject_id: Id | None = None
    """Id of the subject, whose newest ready prior the edit uses. Give it unless you give `prior_id`."""

    prior_id: Id | None = None
    """Id of the prior. Give it instead of `subject_id` to choose one of several trainings."""

    image_id: Id
    """Id of the image to edit, which shows the subject."""

    prompt: Prompt | None = None
    """Description of the wanted image, which names the subject: "a photo of sks dog jumping"."""

    prompts: Annotated[list[Prompt] | None, Field(min_length=1, max_length=MAX_PROMPTS)] = None
    """Several target prompts for the same image, instead of `prompt`. With most methods their edits share the
    inversion, which saves time."""

    action: Annotated[Prompt, Field(pattern=r"\S")] | None = None
    """What the subject does in the wanted image, without its name: "jumping over a fence". The service then makes the
    target prompt: the description of the source with its action replaced, so that the scene stays. Give it instead of
    `prompt` if the prompt need not say what else the image shows."""

    source_prompt: Prompt | None = None
    """Description of the image as it is now. Default: the service writes one. Give it if the pose or the scene is
    unusual."""

    negative_prompt: Prompt | None = None
    """Description of what the image must not show, such as "blurry, two dogs"; it need not name the subject.
    Default: none. Give it if results show the same fault again and again."""

    method: Method = "nima"
    """`nima` is LIPE's own; the others are published baselines. Change it to compare methods."""

    preset: Preset = "balanced"
    """Time against quality: `fast` makes half of the steps, `best` twice as many. docs/presets.md has the measured
    gain. Change it before single parameters."""

    identity: Identity = "normal"
    """How much the result takes from the source image's own look, `nima` only. Choose `high` if texture or colours of
    the subject are lost, `low` if the old pose shows through."""

    change: Change = "normal"
    """How far the result may move from the source image, `nima` only. Choose `large` if the edit is too weak, `small`
    if it does too much."""

    parameters: AnyParameters = Field({}, validate_default=True)
    """Settings of the method, which replace those of `preset`, `identity` and `change`. Default: those of each setting.
    Change them if the choices do not suffice."""

    mix: NewMix | None = None
    """A second prior to mix in with a weight, such as a style. Default: none."""

    use_prior: StrictBool = True
    """False: edit with the base model, without the prior. Set it to false to see the prior's effect."""

    base_model: BaseModelName | None = None
    """Name or fingerprint of the base model, as `GET /v1/models` has them. With `subject_id`, the edit uses the newest
    prior of this base model. Default: that of the prior; without a prior the service's."""

    seed: Seed | None = None
    """Seed of the first image. Default: drawn by the service. Give it to get the same image again."""

    seeds: Annotated[list[Seed] | None, Field(min_length=1, max_length=MAX_SEEDS)] = None
    """Seeds of the images, instead of `seed` and `n`. Default: counted up from `seed`. Give them to repeat certain
    images."""

    n: Annotated[int, Field(ge=1, le=MAX_SEEDS)] = 1
    """Number of seeds, and so of images for each prompt. Raise it to choose among several images; time grows in
    proportion."""

    mask_image_id: Id | None = None
    """Id of a mask of the image's size: white where the image may change; grays count as the nearer of black and
    white. Default: the method finds the region. Give it if that region is wrong."""

    output_format: OutputFormat = "png"
    """File format of the edited images; masks are always PNG. `png`, and `webp` without `output_quality`, keep every
    pixel, so nothing changes outside the mask. `jpeg` changes all pixels a little, also outside the mask. Change it if
    small files matter more than exact pixels."""

    output_quality: Annotated[int | None, Field(ge=1, le=100)] = None
    """Quality of `jpeg` or `webp`, from 1 to 100: higher is larger and closer to the exact image. Default: 90 for
    `jpeg`; `webp` without it loses nothing. Refused for `png`, which has no quality. Lower it for smaller files."""

    include: list[Included] = Field(default_factory=list, max_length=1)
    """Further files of each result. `uncomposited`: the image before the source's background was restored, as large as
    the result itself. Default: none. Add it to measure what the network changed."""

    result_kind: Literal["archival", "published"] | None = None
    """`archival`: every pixel outside the mask equals the source. `published`: the same, and the pixels inside the mask
    carry an invisible watermark, which `POST /v1/verify` finds also after a screenshot. Default: that of the project,
    at first `archival`. Choose `published` for images that leave your hands."""

    visible_label: StrictBool | None = None
    """True: published results have a small label "AI-edited" in their lower right corner, which also covers pixels
    outside the mask. Refused for archival results, which stay exact. Default: that of the project, at first false.
    Change it if people who see the image must be told."""

    other_people: Literal["consented"] | None = None
    """`consented`: all other people in the image have agreed to the edit, which the decision log then says.
    Default: none. An image that shows more faces than the subject has then gets a warning, or is refused if the
    operator wants a statement. Give it if you have asked them."""

    credentials_prompt: StrictBool = False
    """True: the Content Credentials of each result state its prompt, so that every viewer of the file can read it.
    Default: they state the edit without its prompt. Change it if the prompt is no secret and the readers shall see
    it."""

    deadline_seconds: DeadlineSeconds = None
    priority: Priority = 0
    metadata: Metadata = Field(default_factory=dict)
    webhook_url: WebhookUrl | None = None
    """URL that gets the events of this job. Default: only the project's endpoints get them. Give it if the receiver
    depends on the job."""

    webhook_events: Annotated[list[EditEventType] | None, Field(min_length=1)] = None
    """Types of the events that `webhook_url` gets. Default: those of the job's end, such as `edit.succeeded`. Add
    `edit.output` to get each image as soon as it is stored, or `edit.started`."""

    @field_validator("parameters", mode="plain", json_schema_input_type=AnyParameters)
    @classmethod
    def _validate_by_method(cls, value: Any, info: ValidationInfo) -> Any:
        # An invalid method is absent from `data` and reported already.
        method: Method = info.data.get("method", "nima")
        return PARAMETERS[method].model_validate(value)

    @field_validator("webhook_events")
    @classmethod
    def _has_a_url(cls, events: list[EditEventType] | None, info: ValidationInfo) -> list[EditEventType] | None:
        return require_webhook_url(events, info)

    @field_validator("output_quality")
    @classmethod
    def _has_a_quality(cls, quality: int | None, info: ValidationInfo) -> int | None:
        if quality is not None and info.data.get("output_format") == "png":
            raise ValueError("png has no quality: leave it out, or set output_format to jpeg or webp")
        return quality

    @field_validator("visible_label")
    @classmethod
    def _is_published(cls, visible_label: bool | None, info: ValidationInfo) -> bool | None:
        if visible_label and info.data.get("result_kind") == "archival":
            raise ValueError("archival results have no visible label: leave it out, or set result_kind to published")
        return visible_label

    @model_validator(mode="after")
    def _agree(self) -> "NewEdit":
        if (self.subject_id is None) == (self.prior_id is None):
            raise ValueError("give either subject_id or prior_id")
        if [self.prompt, self.prompts, self.action].count(None) != 2:
            raise ValueError("give one of prompt, prompts and action")
        if self.seeds is not None and (self.seed is not None or self.n != 1):
            raise ValueError("give either seeds, or seed and n")
        for name, values in (("prompts", self.prompts), ("seeds", self.seeds)):
            if values is not None and len(set(values)) != len(values):
                raise ValueError(f"{name} must not repeat")
        if len(self.prompts or [""]) * len(self.seeds or range(self.n)) > MAX_IMAGES:
            raise ValueError(f"prompts times seeds must be at most {MAX_IMAGES} images")
        if len(self.seeds or range(self.n)) > 1 and not self.parameters.is_seeded():
            if self.method == "nima":
                raise ValueError(
                    "with a renoise of 0 all seeds give the same image: raise parameters.renoise, leave it out, "
                    "or give one seed"
                )
            raise ValueError("this method draws no noise, so all seeds give the same image: give one seed")
        if self.negative_prompt and self.method not in (methods := methods_with_negative_prompt()):
            raise ValueError(f"{self.method} has no negative prompt: leave it out, or choose {', '.join(methods)}")
        for choice in self.choices():
            if self.method not in (methods := methods_with(choice)):
                raise ValueError(f"{self.method} has no {choice}: leave {choice} out, or choose {', '.join(methods)}")
        if self.mix is not None and not self.use_prior:
            raise ValueError("without a prior there is nothing to mix: leave mix out, or set use_prior to true")
        if self.mix is not None and self.method not in (methods := methods_with_prior()):
            raise ValueError(f"{self.method} uses no prior: leave mix out, or choose {', '.join(methods)}")
        if not self.use_prior and (self.prior_id is not None or self.method == "dreamctrl"):
            raise ValueError("without a prior give subject_id, and a method other than dreamctrl")
        return self

    def choices(self) -> dict[str, str]:
        """The choices that change settings, by name. That of the seeds follows from their number."""
        several = len(self.seeds or range(self.n)) > 1 and self.method in methods_with("seeds")
        seeds = "several" if several else "one"
        return chosen({"preset": self.preset, "identity": self.identity, "change": self.change, "seeds": seeds})

    def job_parameters(self) -> dict[str, Any]:
        """The parameters of the job. Seeds that the request leaves open are drawn."""
        return {
            self.method: self.parameters.given(),
            **({"choices": choices} if (choices := self.choices()) else {}),
            **({"action": self.action.strip()} if self.action else {}),
            **({"negative_prompt": self.negative_prompt} if self.negative_prompt else {}),
            "seeds": self.chosen_seeds(),
            **self.output(),
        }

    def target_prompts(self, phrase: str) -> list[str]:
        """The prompts, which name the subject as `phrase`. That of an `action` holds until the job has made it."""
        if self.action is not None:
            return [f"a photo of {phrase} {self.action.strip()}"]
        return self.prompts or [self.prompt or ""]

    def output(self) -> dict[str, Any]:
        """The output settings that the request gave, for the job's parameters."""
        fields = {"output_format", "output_quality"}
        given = self.model_dump(include=fields, exclude_none=True) if self.output_format != "png" else {}
        kind = self.model_dump(include={"result_kind", "visible_label"}, exclude_none=True)
        included = {"include": self.include} if self.include else {}
        return given | included | kind | ({"credentials_prompt": True} if self.credentials_prompt else {})

    def chosen_seeds(self) -> list[int]:
        """The seeds, from `seeds` or from `seed` and `n`; drawn if the request has none."""
        if self.seeds is not None:
            return self.seeds
        first = self.seed if self.seed is not None else secrets.randbelow(MAX_RANDOM_SEED)
        return [first + k for k in range(self.n)]
