"""The repository stays small: a large file needs an entry with its reason, as every version of it stays in history."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAX_BYTES = 1_000_000
MAX_PNG_BYTES = 300_000
MINIATURE = "weights of the miniature, which tests and `make demo` use; committed once an issue"
LARGE_FILES = {
    "docs/openapi.json": "the contract of the API, which is written from the code and compared with it",
    "menagerie/captioner/model.safetensors": MINIATURE,
    "menagerie/checkpoint/text_encoder_2/model.safetensors": MINIATURE,
    "menagerie/checkpoint/unet/diffusion_pytorch_model.safetensors": MINIATURE,
    "menagerie/checkpoint/vae/diffusion_pytorch_model.safetensors": MINIATURE,
    "menagerie/judges/clip/model.safetensors": MINIATURE,
    "menagerie/judges/dinov2/model.safetensors": MINIATURE,
    "menagerie/probe.safetensors": MINIATURE,
}


@pytest.fixture(scope="module")
def sizes() -> dict[str, int]:
    """The size of every file that git tracks or would add, by path."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git repository")
    return {name: (ROOT / name).stat().st_size for name in listed.stdout.splitlines() if (ROOT / name).is_file()}


def test_a_large_file_has_an_entry(sizes: dict[str, int]) -> None:
    assert not {name: size for name, size in sizes.items() if size > MAX_BYTES and name not in LARGE_FILES}


def test_every_entry_is_still_a_large_file(sizes: dict[str, int]) -> None:
    assert not [name for name in LARGE_FILES if sizes.get(name, 0) <= MAX_BYTES]


def test_a_png_is_small(sizes: dict[str, int]) -> None:
    assert not {name: size for name, size in sizes.items() if name.endswith(".png") and size > MAX_PNG_BYTES}
