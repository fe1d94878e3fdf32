"""A face generator of random weights for "dogs" of 16 pixels; its vocabulary has two poses and one place."""

from pathlib import Path

import torch

from lipe_core.methods.mystyle.face_generator import FaceGenerator, save_face_generator
from lipe_core.methods.mystyle.stylegan2 import Generator, Sizes

SIZES = Sizes(widths=(8, 6, 4), z_size=5, w_size=8, mapping_layers=2)
PHRASES: dict[str, dict[str, tuple[str, ...]]] = {
    "pose": {"jumping": ("jumping", "jumping up"), "sitting": ("sitting",)},
    "place": {"in": ("in a meadow",)},
}


def toy_faces() -> FaceGenerator:
    """The generator, with the same weights at every call."""
    torch.manual_seed(0)
    network = Generator(SIZES)
    with torch.no_grad():
        network.w_average.copy_(network.style(torch.randn(64, SIZES.z_size)).mean(dim=0))
    which = [(name, value) for name, values in PHRASES.items() for value in values]
    directions = {one: torch.randn(SIZES.w_size) for one in which}
    return FaceGenerator(network.requires_grad_(False).eval(), ("dog",), PHRASES, directions)


def write_toy_faces(folder: Path) -> None:
    """Save the generator to a checkpoint's folder."""
    save_face_generator(toy_faces(), folder)
