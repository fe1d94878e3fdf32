from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lipe_core.errors import InvalidModel
from lipe_core.metrics.lpips import Distance, load_lpips

Pixels = npt.NDArray[np.uint8]
SIZE = (40, 56)


def noise(seed: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def trunk() -> nn.Sequential:
    """AlexNet's convolutions (https://arxiv.org/abs/1404.5997), numbered as torchvision numbers them."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, 1, 1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """Random weights under the names of the lpips package."""
    torch.manual_seed(0)
    places = {0: "net.slice1.0", 3: "net.slice2.3", 6: "net.slice3.6", 8: "net.slice4.8", 10: "net.slice5.10"}
    network = trunk()
    tensors = {
        f"{name}.{kind}": getattr(network[k], kind).detach()
        for k, name in places.items()
        for kind in ("weight", "bias")
    }
    lins = {f"lin{k}.model.1.weight": torch.rand(1, wide, 1, 1) for k, wide in enumerate((64, 192, 384, 256, 256))}
    return tensors | lins


@pytest.fixture(scope="module")
def file(weights: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("lpips") / "alex.safetensors"
    save_file(weights, file)
    return file


@pytest.fixture(scope="module")
def lpips(file: Path) -> Distance:
    return load_lpips(file)


def layer_maps(weights: dict[str, Tensor], a: Pixels, b: Pixels) -> list[Tensor]:
    """Equation 1 of the paper before the mean over positions, with the network built from torch's modules."""
    network = trunk()
    network.load_state_dict(
        {f"{name.split('.')[2]}.{name.split('.')[3]}": t for name, t in weights.items() if name.startswith("net.")}
    )
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    outputs = []
    for image in (a, b):
        x = ((torch.from_numpy(image) / 127.5 - 1 - shift) / scale).permute(2, 0, 1)[None]
        layers = []
        for k, layer in enumerate(network):
            x = layer(x)
            if k in (1, 4, 7, 9, 11):
                layers.append(x / x.norm(dim=1, keepdim=True))
        outputs.append(layers)
    return [
        (weights[f"lin{k}.model.1.weight"] * (p - q) ** 2).sum(dim=1)[0].detach()
        for k, (p, q) in enumerate(zip(*outputs, strict=True))
    ]


def test_it_is_the_papers_equation(lpips: Distance, weights: dict[str, Tensor]) -> None:
    expected = sum(float(plane.mean()) for plane in layer_maps(weights, noise(0), noise(1)))
    assert expected > 0.01
    assert lpips(noise(0), noise(1), None) == pytest.approx(expected, rel=1e-4)
    assert lpips(noise(1), noise(0), None) == pytest.approx(expected, rel=1e-4)
    assert lpips(noise(0), noise(0), None) == 0


def test_a_background_everywhere_is_the_whole_image(lpips: Distance) -> None:
    everywhere = np.ones(SIZE, bool)
    assert lpips(noise(0), noise(1), everywhere) == pytest.approx(lpips(noise(0), noise(1), None), rel=1e-5)


def test_each_cell_counts_by_its_share_of_background(lpips: Distance, weights: dict[str, Tensor]) -> None:
    background = np.zeros(SIZE, bool)
    background[:, :23] = True
    edited, source = noise(2), noise(3)
    expected = 0.0
    for plane in layer_maps(weights, np.where(background[..., None], edited, source), source):
        height, width = plane.shape
        share = np.zeros((height, width))
        for y, x in np.ndindex(height, width):
            rows = slice(y * SIZE[0] // height, -(-(y + 1) * SIZE[0] // height))
            columns = slice(x * SIZE[1] // width, -(-(x + 1) * SIZE[1] // width))
            share[y, x] = background[rows, columns].mean()
        expected += float((plane.numpy() * share).sum() / share.sum())
    assert lpips(edited, source, background) == pytest.approx(expected, rel=1e-4)


def test_pixels_inside_the_mask_have_no_effect(lpips: Distance) -> None:
    background = np.ones(SIZE, bool)
    background[10:30, 12:40] = False
    source, edited = noise(4), noise(4)
    edited[~background] = 0
    assert lpips(edited, source, background) == 0
    assert lpips(edited, source, None) > 0
    edited[:5, :5] = 0
    assert lpips(edited, source, background) > 0


def test_the_packages_other_name_for_its_layers_is_known(
    lpips: Distance, weights: dict[str, Tensor], tmp_path: Path
) -> None:
    save_file(
        {name.replace("lin", "lins.") if "lin" in name else name: t for name, t in weights.items()}, tmp_path / "w"
    )
    assert load_lpips(tmp_path / "w")(noise(0), noise(1), None) == lpips(noise(0), noise(1), None)


def test_files_that_hold_no_weights_are_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match="nowhere"):
        load_lpips(tmp_path / "nowhere")
    torch.save({}, tmp_path / "pickle.pth")
    with pytest.raises(InvalidModel, match=r"pickle\.pth holds no LPIPS weights"):
        load_lpips(tmp_path / "pickle.pth")
    for name in ("net.slice2.3.bias", "lin4.model.1.weight"):
        tensors = load_file(file)
        save_file(tensors | {name: torch.zeros(3)}, tmp_path / "shape")
        with pytest.raises(InvalidModel, match=name):
            load_lpips(tmp_path / "shape")
        del tensors[name]
        save_file(tensors, tmp_path / "lacks")
        with pytest.raises(InvalidModel, match=name):
            load_lpips(tmp_path / "lacks")


def test_no_background_and_images_too_small_are_refused(lpips: Distance) -> None:
    with pytest.raises(ValueError, match="no background"):
        lpips(noise(0), noise(1), np.zeros(SIZE, bool))
    with pytest.raises(ValueError, match="31 x 31"):
        lpips(noise(0)[:30], noise(1)[:30], None)
    assert lpips(noise(0)[:31, :31], noise(1)[:31, :31], None) > 0
