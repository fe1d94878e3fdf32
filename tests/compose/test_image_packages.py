"""The programs of each image start with the packages that the image has. Checked without a container engine.

They run with a folder that has only those packages, of all that are installed here.
"""

import re
import subprocess
import sys
import sysconfig
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
IMAGES = {  # its requirements, and what its programs import
    "api": (["api"], ["cli.main", "cli.migrate", "cli.audit", "api.server", "worker.app", "worker.dispatcher"]),
    "worker": (["worker", "torch-cpu"], ["cli.main", "worker.app", "worker.work"]),
}


@pytest.mark.parametrize("image", ["api", pytest.param("worker", marks=pytest.mark.slow)])
def test_the_programs_of_an_image_need_only_its_packages(image: str, tmp_path: Path) -> None:
    requirements, modules = IMAGES[image]
    for name in requirements:
        install(ROOT / f"requirements/{name}.txt", tmp_path)
    dockerfile = (ROOT / f"Dockerfile.{image}").read_text()
    for folder in re.findall(r"^COPY (\w+) \1$", dockerfile, re.MULTILINE):
        (tmp_path / folder).symlink_to(ROOT / folder)
    (tmp_path / "lipe_client").symlink_to(ROOT / "clients/python/lipe_client")
    program = f"import sys; sys.path.append({str(tmp_path)!r}); import {', '.join(modules)}"
    ran = subprocess.run([sys.executable, "-I", "-S", "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def install(requirements: Path, folder: Path) -> None:
    """Link the installed packages of a requirements file into the folder."""
    packages = Path(sysconfig.get_path("purelib"))
    for name in re.findall(r"^([\w.-]+)==", requirements.read_text(), re.MULTILINE):
        try:
            files = distribution(name).files or []
        except PackageNotFoundError:
            continue
        for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            if not (folder / top).exists():
                (folder / top).symlink_to(packages / top)
