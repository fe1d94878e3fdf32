"""An OpenAI-compatible chat server that answers by a test's script; it runs as a process.

POST /script takes a list of steps and forgets earlier ones; each chat request plays the next. GET /requests returns
the requests since then.
"""

import asyncio
import json
import socket
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

app = FastAPI()
script: list[dict[str, Any]] = []
requests: list[dict[str, Any]] = []


@app.post("/script")
def write_script(steps: list[dict[str, Any]]) -> None:
    script[:], requests[:] = steps, []


@app.get("/requests")
def read_requests() -> list[dict[str, Any]]:
    return requests


@app.post("/v1/chat/completions")
async def chat(request: Request) -> Response:
    requests.append({"authorization": request.headers.get("authorization"), "body": await request.json()})
    if not script:
        return JSONResponse({"error": {"message": "the script is at its end"}}, 418)
    step = script.pop(0)
    await asyncio.sleep(step.get("delay", 0))
    if "raw" in step:
        return Response(step["raw"], step.get("status", 200), media_type=step.get("type", "application/json"))
    if "error" in step:
        return JSONResponse({"error": {"message": step["error"]}}, step["status"], headers=step.get("headers"))
    content = step["content"] if isinstance(step.get("content"), str | None) else json.dumps(step["content"])
    message = {"role": "assistant", "content": content, "refusal": step.get("refusal")}
    return JSONResponse(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": "tiny",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
    )


if __name__ == "__main__":
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()  # a client that connects before the server accepts has to wait
        print(listener.getsockname()[1], flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off")).run(sockets=[listener])
