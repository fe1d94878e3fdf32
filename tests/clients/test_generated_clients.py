"""Generated clients train a prior and edit an image by the running service, which has the tiny checkpoint.

openapi-python-client generates one from docs/openapi.json, openapi-typescript the types of `clients/typescript`.
`make generators` installs both generators. The tests are skipped where one is missing, for example without Node.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from cli.embedded.up import Service, embedded_service
from tests.support.checkout import ROOT

HERE = Path(__file__).parent
CONTRACT = ROOT / "docs" / "openapi.json"
TYPESCRIPT = ROOT / "clients" / "typescript"


@pytest.fixture(scope="module")
def python_generator() -> str:
    """The path of openapi-python-client. Its environment has the libraries of the clients that it generates."""
    path = shutil.which("openapi-python-client", path=f"{sys.prefix}/generator/bin{os.pathsep}{os.environ['PATH']}")
    if path is None:
        pytest.skip("openapi-python-client is not installed: run `make generators` first")
    return path


@pytest.fixture(scope="module")
def node_modules() -> Path:
    """The installed packages of clients/typescript."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not on PATH: install Node 20, then run `make generators`")
    modules = TYPESCRIPT / "node_modules"
    if not modules.is_dir():
        pytest.skip("the packages of clients/typescript are not installed: run `make generators` first")
    return modules


@pytest.fixture(scope="module")
def service(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The whole service."""
    environment = {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    data = tmp_path_factory.mktemp("service") / "data"
    with embedded_service(data, base_model=checkpoint, environment=environment) as service:
        yield service


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The files of three references and of a source image."""
    folder = tmp_path_factory.mktemp("images")
    for place, colour in enumerate(("red", "green", "blue", "white")):
        Image.new("RGB", (64, 64), colour).save(folder / f"{place}.png")
    return [str(folder / f"{place}.png") for place in range(4)]


def _run(*command: str, folder: Path, service: Service | None = None) -> str:
    """The output of a program that succeeds."""
    address = {"LIPE_URL": service.url, "LIPE_API_KEY": service.key.token} if service else {}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | address
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


@pytest.mark.slow
def test_a_generated_python_client(python_generator: str, service: Service, images: list[str], tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text("post_hooks: []\n")  # the default formats the client with ruff
    options = ("--path", str(CONTRACT), "--meta", "none", "--config", "config.yml", "--fail-on-warning")
    output = _run(python_generator, "generate", *options, "--output-path", "generated_client", folder=tmp_path)
    assert "WARNING" not in output.upper()
    shutil.copy(HERE / "generated_client_drive.py", tmp_path / "drive.py")
    interpreter = Path(python_generator).read_text().splitlines()[0].removeprefix("#!")
    _run(interpreter, "drive.py", *images, folder=tmp_path, service=service)


@pytest.mark.slow
def test_the_typescript_client(node_modules: Path, service: Service, images: list[str], tmp_path: Path) -> None:
    """clients/typescript/tests/types.ts has requests that the types accept, and mistakes that they refuse."""
    package = tmp_path / "clients" / "typescript"
    shutil.copytree(TYPESCRIPT, package, ignore=shutil.ignore_patterns("node_modules", "dist*", "schema.ts"))
    (package / "node_modules").symlink_to(node_modules)
    (tmp_path / "docs").mkdir()
    shutil.copy(CONTRACT, tmp_path / "docs")
    _run("npm", "run", "build", folder=package)
    _run("npm", "exec", "--offline", "--", "tsc", "--project", "tests", folder=package)
    _run("node", "dist-tests/service.js", *images, folder=package, service=service)
    packed = _run("npm", "pack", "--dry-run", "--ignore-scripts", folder=package)
    assert "dist/index.js" in packed
    assert "dist/schema.d.ts" in packed
    assert "tests" not in packed
