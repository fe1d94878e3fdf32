from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer, Dinov2Model

from lipe_core.errors import InvalidModel
from lipe_core.metrics.features import Clip, ImageFeatures, load_clip, load_dinov2
from tests.support.tiny_judges import CONTEXT, MEAN, SIDE, STD, write_clip, write_dinov2

SIZES = [(40, 20), (16, 16), (17, 61), (8, 9)] * 5


def make_image(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def prepared(image: Image.Image, shortest: int) -> Tensor:
    """Resize bicubically to the shortest side, crop the centre and normalize, as both publishers do."""
    scale = shortest / min(image.size)
    width, height = (shortest if side == min(image.size) else int(side * scale) for side in image.size)
    resized = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (resized.width - SIDE) // 2, (resized.height - SIDE) // 2
    pixels = torch.from_numpy(np.array(resized.crop((left, top, left + SIDE, top + SIDE)))) / 255
    return ((pixels - torch.tensor(MEAN)) / torch.tensor(STD)).permute(2, 0, 1)[None]


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    write_clip(folder := tmp_path_factory.mktemp("clip"))
    return folder


@pytest.fixture(scope="module")
def dinov2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    write_dinov2(folder := tmp_path_factory.mktemp("dinov2"))
    return folder


@pytest.fixture(scope="module")
def clip(clip_folder: Path) -> Clip:
    return load_clip(clip_folder)


@pytest.fixture(scope="module")
def dinov2(dinov2_folder: Path) -> ImageFeatures:
    return load_dinov2(dinov2_folder)


def test_clip_preprocesses_images_as_its_publisher_does(clip: Clip, clip_folder: Path) -> None:
    images = [make_image(*size, seed=k) for k, size in enumerate(SIZES)]
    network = CLIPModel.from_pretrained(clip_folder).eval()
    with torch.no_grad():
        pixels = torch.cat([prepared(image, SIDE) for image in images])
        expected = network.visual_projection(network.vision_model(pixels).pooler_output)
    torch.testing.assert_close(clip.images(images), expected, atol=1e-4, rtol=1e-3)
    assert expected.std(dim=0).min() > 1e-3  # the features distinguish the images


def test_dinov2_preprocesses_images_as_its_publisher_does(dinov2: ImageFeatures, dinov2_folder: Path) -> None:
    images = [make_image(*size, seed=k) for k, size in enumerate(SIZES)]
    network = Dinov2Model.from_pretrained(dinov2_folder).eval()
    with torch.no_grad():
        expected = network(torch.cat([prepared(image, SIDE + 4) for image in images])).last_hidden_state[:, 0]
    torch.testing.assert_close(dinov2(images), expected, atol=1e-4, rtol=1e-3)
    assert expected.std(dim=0).min() > 1e-3


def test_a_row_of_a_batch_is_the_image_alone(clip: Clip, dinov2: ImageFeatures) -> None:
    images = [make_image(*size, seed=k) for k, size in enumerate(SIZES)]
    for extract in (clip.images, dinov2):
        torch.testing.assert_close(extract(images)[17:18], extract(images[17:18]), atol=1e-5, rtol=1e-4)


def test_images_of_any_mode_are_read(clip: Clip) -> None:
    grey = make_image(20, 20).convert("L")
    rows = clip.images([grey, grey.convert("RGB"), grey.convert("RGBA")])
    torch.testing.assert_close(rows[0], rows[1])
    torch.testing.assert_close(rows[0], rows[2])


def test_clip_reads_texts_in_batches_of_any_lengths(clip: Clip, clip_folder: Path) -> None:
    texts = ["dog", "a cat", "a b c d e", "zebra"] * 5
    rows = clip.texts(texts)
    torch.testing.assert_close(rows, torch.cat([clip.texts([text]) for text in texts]), atol=1e-5, rtol=1e-4)
    network, tokenizer = CLIPModel.from_pretrained(clip_folder).eval(), CLIPTokenizer.from_pretrained(clip_folder)
    with torch.no_grad():
        output = network.text_model(**tokenizer("a cat", return_tensors="pt")).last_hidden_state[:, -1]
        torch.testing.assert_close(rows[1:2], network.text_projection(output), atol=1e-5, rtol=1e-4)
    assert (rows[0] - rows[1]).abs().max() > 1e-3


def test_a_long_text_is_cut(clip: Clip) -> None:
    kept = "a" * (CONTEXT - 2)
    assert clip.texts([kept + "zz" * 200, "a " * 2000]).shape == (2, 8)
    torch.testing.assert_close(clip.texts(["a " * 2000]), clip.texts(["a " * (CONTEXT - 2)]))


def test_features_are_float32_on_the_cpu_without_gradients(clip_folder: Path) -> None:
    half = load_clip(clip_folder, dtype=torch.bfloat16)
    for rows in (half.images([make_image(20, 20)]), half.texts(["dog"])):
        assert (rows.dtype, rows.device.type, rows.requires_grad) == (torch.float32, "cpu", False)


def test_no_images_or_texts_are_refused(clip: Clip, dinov2: ImageFeatures) -> None:
    for extract in (clip.images, clip.texts, dinov2):
        with pytest.raises(ValueError, match="no features to extract"):
            extract([])


def test_the_wrong_checkpoint_is_refused(clip_folder: Path, dinov2_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match="holds a dinov2 model, not a CLIP model"):
        load_clip(dinov2_folder)
    with pytest.raises(InvalidModel, match="holds a clip model, not a DINOv2 model"):
        load_dinov2(clip_folder)
    with pytest.raises(InvalidModel, match="nowhere does not exist"):
        load_dinov2(tmp_path / "nowhere")


def test_pickled_weights_are_never_read(dinov2_folder: Path, tmp_path: Path) -> None:
    pickled = copytree(dinov2_folder, tmp_path / "pickled")
    (pickled / "model.safetensors").unlink()
    torch.save({}, pickled / "pytorch_model.bin")
    with pytest.raises(InvalidModel, match=r"only pytorch_model\.bin"):
        load_dinov2(pickled)


def test_a_checkpoint_without_its_preprocessing_is_refused(dinov2_folder: Path, tmp_path: Path) -> None:
    bare = copytree(dinov2_folder, tmp_path / "bare")
    (bare / "preprocessor_config.json").unlink()
    with pytest.raises(InvalidModel, match="cannot be read as an image processor"):
        load_dinov2(bare)
