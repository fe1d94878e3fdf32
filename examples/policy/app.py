"""The policy server: POLICY_SECRET=whsec_... uvicorn examples.policy.app:make_app --factory --port 9000.

It verifies the signature of each question, compares prompts with a list, and fetches the images to classify them.
POLICY_PROMPTS names another list, and POLICY_LEAST_SIDE refuses images with a smaller side, in pixels.
"""

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI, HTTPException, Request
from PIL import Image
from standardwebhooks import WebhookVerificationError
from starlette.concurrency import run_in_threadpool

from examples.policy.classifiers import AllowAll, ImageClassifier, RefuseSmall
from examples.policy.prompt_list import PromptList
from lipe_client.webhooks import verify_webhook

NAME = "example-policy/1"
PROMPTS = Path(__file__).with_name("prompts.txt")
FETCH_SECONDS = 3.0  # LIPE waits for 5 seconds by default
MAX_IMAGE_BYTES = 64 * 1024 * 1024
ALLOW = {"decision": "allow", "policy": NAME}


def make_app(
    secret: str | None = None, prompts: PromptList | None = None, classifier: ImageClassifier | None = None
) -> FastAPI:
    """The server, by default with the settings of the environment. Raises KeyError without a secret."""
    shared = secret or os.environ["POLICY_SECRET"]
    refused = prompts or PromptList.read(Path(os.environ.get("POLICY_PROMPTS", PROMPTS)))
    least = int(os.environ.get("POLICY_LEAST_SIDE", "0"))
    judge = classifier or (RefuseSmall(least) if least else AllowAll())
    app = FastAPI(title="A policy for LIPE", docs_url=None, redoc_url=None, openapi_url=None)

    @app.post("/")
    async def decide(request: Request) -> dict[str, Any]:
        try:
            question = verify_webhook(shared, request.headers, await request.body())
        except (WebhookVerificationError, ValueError) as error:
            raise HTTPException(401, "the signature is wrong: is POLICY_SECRET that of LIPE_POLICY_SECRET?") from error
        return await run_in_threadpool(answer, question["data"], refused, judge)

    return app


def answer(data: dict[str, Any], refused: PromptList, judge: ImageClassifier) -> dict[str, Any]:
    """The decision on a question. Raises httpx.HTTPError if an image cannot be fetched: LIPE then has no answer."""
    images = data.get("images", [])
    texts = [prompt["text"] for prompt in data.get("prompts", [])] + [image.get("caption") or "" for image in images]
    if phrase := refused.find(texts):
        return _refusal("word_list", f"the prompt must not have {phrase!r}")
    for image in images:
        if not isinstance(judge, AllowAll) and (found := judge.refuse(_fetch(image))):
            return _refusal(*found)
    return ALLOW


def _refusal(code: str, reason: str) -> dict[str, Any]:
    return {"decision": "refuse", "code": code, "reason": reason, "policy": NAME}


def _fetch(image: dict[str, Any]) -> Image.Image:
    """The image at the question's signed URL, if it is the one that the question describes."""
    if image["size"] > MAX_IMAGE_BYTES:
        raise httpx.HTTPError(f"the image has {image['size']} bytes")
    content = httpx.get(image["url"], timeout=FETCH_SECONDS, trust_env=False).raise_for_status().content
    if hashlib.sha256(content).hexdigest() != image["sha256"]:
        raise httpx.HTTPError("the image is not the one that the question describes")
    return Image.open(io.BytesIO(content)).convert("RGB")
