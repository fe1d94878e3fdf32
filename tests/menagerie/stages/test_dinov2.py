"""`start_from` gives DINOv2 about the outputs of the CLIP tower, although it has no norm before its blocks."""

import torch
from torch.nn.functional import cosine_similarity
from transformers import CLIPVisionModel

from menagerie.pool import render_chunk, to_pixels
from menagerie.stages.dinov2 import start_from
from menagerie.vision_models import VisionSizes, build_dinov2, vision_config

SIZES = VisionSizes(image_size=32, patch=8, width=32, inner=64, layers=2, heads=2)


def test_the_outputs_are_those_of_the_tower() -> None:
    torch.manual_seed(0)
    tower = CLIPVisionModel(vision_config(SIZES)).eval()
    torch.nn.init.normal_(tower.pre_layrnorm.weight, 1.0, 0.3)
    torch.nn.init.normal_(tower.pre_layrnorm.bias)
    network = build_dinov2(SIZES).eval()
    pixels = to_pixels(render_chunk(3, 0, 16, SIZES.image_size))
    with torch.no_grad():
        before = network(pixel_values=pixels).pooler_output
        start_from(network, tower, pixels)
        after, expected = network(pixel_values=pixels).pooler_output, tower(pixel_values=pixels).pooler_output
        embedded = network.embeddings(pixels), tower.pre_layrnorm(tower.embeddings(pixels))
    torch.testing.assert_close(embedded[0][:, 0], embedded[1][:, 0], rtol=1e-4, atol=1e-5)
    assert cosine_similarity(after, expected).min() > 0.95
    assert cosine_similarity(before, expected).max() < 0.9
