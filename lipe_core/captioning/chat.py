"""An OpenAI-compatible chat endpoint: https://platform.openai.com/docs/api-reference/chat with a JSON schema."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import openai

from lipe_core.errors import EndpointRefused, EndpointUnavailable


@dataclass(frozen=True)
class ChatEndpoint:
    """A chat endpoint and the model to ask.

    `base_url` ends before "/chat/completions". `timeout` is in seconds per request; `retries` counts further requests
    after one that failed. A local server that needs no key accepts any.
    """

    base_url: str
    api_key: str = field(repr=False)
    model: str
    timeout: float = 60.0
    retries: int = 3

    def __post_init__(self) -> None:
        if not _is_url(self.base_url):
            raise ValueError(f"the base URL must begin with http:// or https:// and a host, got {self.base_url!r}")
        if not self.model.strip():
            raise ValueError("name a model that the endpoint serves")
        if self.timeout <= 0 or self.retries < 0:
            raise ValueError(f"timeout must be above 0 and retries 0 or more, got {self.timeout} and {self.retries}")


@contextmanager
def connected(endpoint: ChatEndpoint) -> Iterator[openai.OpenAI]:
    """A client of the endpoint for the block. It repeats requests that failed."""
    with openai.OpenAI(
        base_url=endpoint.base_url,
        api_key=endpoint.api_key or "none",
        timeout=endpoint.timeout,
        max_retries=endpoint.retries,
    ) as client:
        yield client


def ask(client: openai.OpenAI, endpoint: ChatEndpoint, role: str, question: str, response_format: Any) -> str:
    """The model's answer, "" where there is none.

    Raises EndpointRefused and EndpointUnavailable, without their cause, because it may contain the key.
    """
    messages = [{"role": "system", "content": role}, {"role": "user", "content": question}]
    try:
        completion = client.chat.completions.create(
            model=endpoint.model, messages=messages, response_format=response_format
        )
    except openai.APIStatusError as error:
        is_temporary = error.status_code in {408, 409, 429} or error.status_code >= 500
        kind = EndpointUnavailable if is_temporary else EndpointRefused
        raise kind(f"{endpoint.base_url} answered {error.status_code}: {_message(error, endpoint)}") from None
    except openai.APIConnectionError as error:
        raise EndpointUnavailable(f"{endpoint.base_url} did not answer: {_message(error, endpoint)}") from None
    except ValueError:  # the body is declared as JSON but is not
        return ""
    choices = getattr(
        completion, "choices", None
    )  # the client checks no types: a body that is not JSON arrives as a str
    first = choices[0] if isinstance(choices, list) and choices else None
    content = getattr(getattr(first, "message", None), "content", None)
    return content if isinstance(content, str) else ""


def _message(error: openai.APIError, endpoint: ChatEndpoint) -> str:
    """The error's message in one short printable line, without the key."""
    text = error.message.replace(endpoint.api_key, "***") if endpoint.api_key else error.message
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is not a number
        return False
