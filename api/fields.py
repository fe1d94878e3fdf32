"""Field types and base models that several resources share."""

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Self

from fastapi import Path
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from api import suggestions
from api.problems import Problem
from ledger.addresses import Forbidden, check, normal_url
from ledger.settings import Settings

MAX_METADATA = 16
MAX_SUGGESTIONS = 8  # in one model: a body may have thousands of unknown fields
ID_PATTERN = r"^[A-Za-z0-9_]{1,40}$"


def _clean(text: str) -> str:
    """Refuse control characters: Postgres cannot store a NUL, and no name or prompt needs the others."""
    if any(not character.isprintable() and character not in "\n\t" for character in text):
        raise ValueError("must not contain control characters")
    return text


def _normal_url(url: str) -> str:
    """The URL in ASCII, as it will be called. `check_url` refuses a URL that has no such form."""
    try:
        return normal_url(url)
    except Forbidden:
        return url


Text = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_clean)]
Caption = Annotated[Text, Field(max_length=500)]
Name = Annotated[Text, Field(min_length=1, max_length=200)]
Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
PathId = Annotated[
    str, Path(pattern=ID_PATTERN, description="Id of the resource, from the answer that created it or from a list.")
]
Seed = Annotated[int, Field(ge=0, lt=2**53)]  # JavaScript rounds larger integers
DeadlineSeconds = Annotated[
    float | None,
    Field(
        gt=0,
        le=31_536_000,
        description="Longest wait in the queue, in seconds: a job that no worker has begun by then ends as `expired`, "
        "with its webhook. Default: the operator's limit, a week. Give it if a late result is of no use.",
    ),
]
Priority = Annotated[
    int,
    Field(
        ge=-1440,
        le=1440,
        description="Minutes by which the job goes ahead of your project's other queued jobs: it ranks as if it had "
        "been submitted so much earlier (negative: later). Other projects are not affected. Default: 0. Raise it for a "
        "job that a person waits for; lower it for a batch.",
    ),
]
Metadata = Annotated[
    dict[Annotated[Text, Field(min_length=1, max_length=64)], Annotated[Text, Field(max_length=512)]],
    Field(
        max_length=MAX_METADATA,
        description="Your own pairs, for your bookkeeping: answers and webhooks repeat them. Default: none.",
    ),
]
WebhookUrl = Annotated[
    Text, Field(min_length=1, max_length=2000, json_schema_extra={"format": "uri"}), AfterValidator(_normal_url)
]
ImageUrl = WebhookUrl
Moment = AwareDatetime


def _document_defaults(schema: dict[str, Any]) -> None:
    """Move the default of each field from `default` to its description.

    Client generators take a field with a default for one that is always present: openapi-typescript then demands it in
    a request, and openapi-python-client drops every operation whose body has an object as a default.
    """
    for field in schema.get("properties", {}).values():
        default = field.pop("default", None)
        if isinstance(default, bool | int | float | str):
            field["description"] = f"{field.get('description', '')} Default: {json.dumps(default)}.".lstrip()


def _explain(lines: list[ErrorDetails], known: Iterable[str], refused: Mapping[str, str]) -> list[InitErrorDetails]:
    """The errors of a model. Those about unknown fields say why they are `refused`, or name the nearest `known` one.

    A nested model has explained its own unknown fields already, so that their type is another.
    """
    explained, unknown = [], 0
    for line in lines:
        kind, message = line["type"], line["msg"]
        if kind == "extra_forbidden":
            unknown += 1
            kind, message = "unknown_field", "unknown field: remove it"
            if unknown <= MAX_SUGGESTIONS:
                name = str(line["loc"][-1])
                message = refused.get(name) or suggestions.unknown("field", name, known)
        explained.append(
            InitErrorDetails(type=PydanticCustomError(kind, message), loc=line["loc"], input=line["input"])
        )
    return explained


class RequestModel(BaseModel):
    """A request body. Unknown fields are refused: a misspelled one would be ignored silently."""

    model_config = ConfigDict(
        extra="forbid", allow_inf_nan=False, json_schema_extra=_document_defaults, use_attribute_docstrings=True
    )

    refused: ClassVar[Mapping[str, str]] = {}
    """Fields that a client may expect here, and why they are refused."""

    @model_validator(mode="wrap")
    @classmethod
    def _explain_unknown_fields(cls, value: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return validate(value)
        except ValidationError as error:
            lines = error.errors(include_url=False, include_context=False)
            explained = _explain(lines, cls.model_fields, cls.refused)
            raise ValidationError.from_exception_data(cls.__name__, explained) from None

    def given(self) -> dict[str, Any]:
        """The fields that have a value, as JSON."""
        return self.model_dump(mode="json", exclude_none=True)


class ResponseModel(BaseModel):
    """An answer body, made from the attributes of a row."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)


def check_url(settings: Settings, url: str | None, *, param: str) -> None:
    """Raise Problem for a URL that this service must not call.

    No name server is asked, because the API has no way out: the worker that calls the URL resolves its host.
    """
    if url is None:
        return
    try:
        check(url, allow_private=settings.allow_private_urls, ports=settings.allowed_webhook_ports)
    except Forbidden as error:
        raise Problem("webhook_url_forbidden", f"{error}: give a URL that the service may call", param=param) from error
