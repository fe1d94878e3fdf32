"""The distributions: built from the sources, installed in an environment of their own, and started from there.

The environment borrows the dependencies of this one by a path, because installing torch again would take minutes. It
does not see this environment's own installation of LIPE.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from ledger.version import VERSION
from lipe_client import Client
from tests.support.checkout import ROOT
from tests.support.waiting import eventually

MAX_BYTES = 60_000_000
PACKAGES = ("api", "cli", "ledger", "lipe_core", "menagerie", "migrations", "provenance", "worker")
NOT_PACKED = re.compile(r"\.mako$")
"""Files in the packages that no program reads."""
STUDIO = {"api/studio/index.html", "api/studio/assets/index-1a.js", "api/studio/assets/index-1a.js.gz"}
"""Files as the build of the studio makes them."""


@dataclass(frozen=True)
class Installed:
    """An environment with the wheels, and an empty folder outside the checkout."""

    python: Path
    folder: Path

    def environment(self, **variables: str) -> dict[str, str]:
        """Variables for a program: no PYTHONPATH, and the scripts of the environment first."""
        scripts = os.pathsep.join([str(self.python.parent), sysconfig.get_path("scripts"), os.environ["PATH"]])
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return {**kept, "PATH": scripts, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", **variables}

    def run(self, *command: str, **variables: str) -> str:
        """The output of a program of the environment, which must succeed."""
        ran = subprocess.run(
            [self.python.parent / command[0], *command[1:]],
            cwd=self.folder, env=self.environment(**variables), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout


def sources() -> list[str]:
    """The files that git tracks or would add, by path."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git repository")
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an sdist and a wheel of server and client. Each wheel is built from its sdist."""
    copy, built = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("dist")
    for name in sources():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    (copy / "api" / "studio" / "assets").mkdir(parents=True)
    for name in STUDIO:  # git ignores what `make studio` builds
        (copy / name).write_text("studio")
    uv = Path(sysconfig.get_path("scripts")) / "uv"
    for project in (copy, copy / "clients" / "python"):
        options = ("--quiet", "--offline", "--no-build-isolation", "--python", sys.executable)
        subprocess.run([uv, "build", *options, "--out-dir", built, project], check=True)
    return built


@pytest.fixture(scope="module")
def installed(distributions: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheels of server and client, installed without their dependencies."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    site = next((folder / "venv" / "lib").glob("*/site-packages"))
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    uv = Path(sysconfig.get_path("scripts")) / "uv"
    command: list[str | Path] = [uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", python]
    subprocess.run([*command, *distributions.glob("*.whl")], check=True)
    (folder / "elsewhere").mkdir()
    return Installed(python, folder / "elsewhere")


def test_the_distributions_have_the_version_and_a_sane_size(distributions: Path) -> None:
    server, client = f"lipe_server-{VERSION}", f"lipe_client-{VERSION}"
    wheels = {f"{name}-py3-none-any.whl" for name in (server, client)}
    made = {file.name: file.stat().st_size for file in distributions.iterdir() if file.name != ".gitignore"}
    assert set(made) == wheels | {f"{server}.tar.gz", f"{client}.tar.gz"}
    assert max(made.values()) < MAX_BYTES


def test_the_server_has_every_file_of_its_packages_and_no_other_package(distributions: Path) -> None:
    (wheel,) = distributions.glob("lipe_server-*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {name for name in sources() if name.partition("/")[0] in PACKAGES and not NOT_PACKED.search(name)}
    assert packed == expected | STUDIO


def test_the_source_distribution_has_the_licence_and_no_tests(distributions: Path) -> None:
    (archive,) = distributions.glob("lipe_server-*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml"} <= names
    assert {name.partition("/")[0] for name in names if "/" in name} == {*PACKAGES, "lipe_server.egg-info"}


def test_the_client_is_light(distributions: Path) -> None:
    (wheel,) = distributions.glob("lipe_client-*.whl")
    archive = zipfile.ZipFile(wheel)
    assert {"lipe_client/__init__.py", "lipe_client/py.typed"} <= set(archive.namelist())
    metadata = archive.read(f"lipe_client-{VERSION}.dist-info/METADATA").decode()
    needed = re.findall(r"^Requires-Dist: ([\w-]+)", metadata, flags=re.M)
    assert needed == ["httpx", "pydantic", "standardwebhooks"]
    imported = {name for file in archive.namelist() if file.endswith(".py") for name in imports_of(archive.read(file))}
    assert imported - sys.stdlib_module_names == {*needed, "lipe_client"}


def imports_of(source: bytes) -> Iterator[str]:
    """The top-level names that a module imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def test_the_programs_of_the_wheels_are_those_that_run(installed: Installed) -> None:
    assert installed.run("lipe", "--version") == f"lipe {VERSION}\n"
    program = "import lipe_client, cli, menagerie; print(lipe_client.__file__, cli.__file__, menagerie.__file__)"
    assert all(str(installed.python.parents[1]) in path for path in installed.run("python", "-c", program).split())


@pytest.mark.slow
def test_the_service_starts_from_the_wheel(installed: Installed) -> None:
    """`lipe up` runs `lipe check-model` on the packaged miniature and `lipe migrate`, and fails if one of them does."""
    command: list[str | Path] = [installed.python.parent / "lipe", "up", "--json", "--port", "0", "--data", "data"]
    with subprocess.Popen(
        command, cwd=installed.folder, env=installed.environment(), stdout=subprocess.PIPE, text=True
    ) as up:
        try:
            assert up.stdout is not None
            ready = json.loads(up.stdout.readline())
            with httpx.Client(base_url=ready["url"], timeout=60) as http:
                assert http.get("/openapi.json").raise_for_status().json()["info"]["version"] == VERSION
                assert http.get("/readyz").raise_for_status()
                assert http.get("/").raise_for_status().text == "studio"
                assert "swagger" in http.get("/docs").raise_for_status().text
            with Client(ready["url"], ready["api_key"]) as lipe:
                eventually(lambda: [(model.miniature, model.workers) for model in lipe.models()] == [(True, 2)])
        finally:
            up.terminate()
        assert up.wait() == 0
