"""Client generators of other projects make usable clients from docs/openapi.json, in Python and in TypeScript.

The generators are no dependencies of this project, as their versions of typer conflict with ours. To run these tests:

    uv tool install openapi-python-client
    npm install --global openapi-typescript@7 typescript@5
"""

import shutil
import subprocess
from pathlib import Path

import pytest

CONTRACT = Path(__file__).parents[2] / "docs" / "openapi.json"

PYTHON = """
import io
import json
import httpx
from generated_client import AuthenticatedClient
from generated_client.api.edits import create_edit
from generated_client.api.images import upload_image
from generated_client.api.priors import train_prior
from generated_client.models import JobBody, NewEdit, NewPrior, NimaParameters, SdeditParameters, UploadImageFilesBody
from generated_client.types import File

document = json.load(open("openapi.json"))
answer = document["paths"]["/v1/edits"]["post"]["responses"]["202"]["content"]["application/json"]["example"]
sent = []

def receive(request):
    sent.append(request.read())
    return httpx.Response(202, json=answer)

client = AuthenticatedClient("http://testserver", token="lipe_test")
client.set_httpx_client(httpx.Client(base_url="http://testserver", transport=httpx.MockTransport(receive)))
minimal = NewEdit(image_id="img_1", subject_id="sub_1", prompt="a photo of sks dog jumping")
job = create_edit.sync(client=client, body=minimal)
assert isinstance(job, JobBody) and job.id == answer["id"]
assert json.loads(sent.pop()) == {"image_id": "img_1", "subject_id": "sub_1", "prompt": "a photo of sks dog jumping"}
minimal.parameters = NimaParameters(steps=10)
create_edit.sync(client=client, body=minimal)
assert json.loads(sent.pop())["parameters"] == {"steps": 10}
train_prior.sync("sub_1", client=client, body=NewPrior())
assert json.loads(sent.pop()) == {}
upload_image.sync_detailed(client=client, body=UploadImageFilesBody(file=File(io.BytesIO(b"content"), "rex.png")))
assert b'filename="rex.png"' in sent[-1] and b"content" in sent.pop()
upload_image.sync_detailed(client=client, body=File(io.BytesIO(b"content")))
assert sent.pop() == b"content"
"""
TYPESCRIPT = """
import type { components, paths } from "./api";
type Schemas = components["schemas"];
const minimal: Schemas["NewEdit"] = { subject_id: "sub_1", image_id: "img_1", prompt: "a photo of sks dog" };
export const nima: Schemas["NewEdit"] = { ...minimal, parameters: { steps: 20, renoise: 0.5 }, n: 2 };
export const sdedit: Schemas["NewEdit"] = { ...minimal, method: "sdedit", parameters: { strength: 0.5 } };
export const training: Schemas["NewPrior"] = {};
export const subject: Schemas["NewSubject"] = { name: "Rex", class_noun: "dog", references: ["a", "b", "c"] };
export const endpoint: Schemas["NewEndpoint"] = { url: "https://example.org/hook" };
export const body: paths["/v1/edits"]["post"]["requestBody"]["content"]["application/json"] = minimal;
type Job = paths["/v1/edits"]["post"]["responses"][202]["content"]["application/json"];
export function result(job: Job): string { return job.urls.result; }
// @ts-expect-error a field that does not exist
export const misspelled: Schemas["NewEdit"] = { ...minimal, promt: "x" };
// @ts-expect-error no image
export const incomplete: Schemas["NewEdit"] = { prompt: "x" };
"""


def _program(name: str, install: str) -> str:
    """The path of a program. Skips the test without it."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not on PATH: run `{install}` first")
    return path


def _run(*command: str, folder: Path) -> str:
    """The output of a program that succeeds."""
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def test_a_python_client(tmp_path: Path) -> None:
    generator = _program("openapi-python-client", "uv tool install openapi-python-client")
    (tmp_path / "config.yml").write_text("post_hooks: []\n")  # the default formats the client with ruff
    shutil.copy(CONTRACT, tmp_path / "openapi.json")
    options = ("--path", "openapi.json", "--meta", "none", "--config", "config.yml")
    checked = ("--output-path", "generated_client", "--fail-on-warning")
    assert "WARNING" not in _run(generator, "generate", *options, *checked, folder=tmp_path).upper()
    (tmp_path / "use.py").write_text(PYTHON)
    interpreter = Path(generator).read_text().splitlines()[0].removeprefix("#!")  # it has the client's libraries
    _run(interpreter, "use.py", folder=tmp_path)


def test_a_typescript_client(tmp_path: Path) -> None:
    install = "npm install --global openapi-typescript@7 typescript@5"
    _program("node", "your system's package manager, for Node 20,")
    generator, compiler = _program("openapi-typescript", install), _program("tsc", install)
    _run(generator, str(CONTRACT), "--output", "api.d.ts", folder=tmp_path)
    (tmp_path / "use.ts").write_text(TYPESCRIPT)
    _run(compiler, "--noEmit", "--strict", "--target", "es2022", "use.ts", folder=tmp_path)
