"""MyStyle's trainings on random weights."""

import pytest
import torch

from lipe_core.diffusion.guidance import EvaluationCounter
from lipe_core.errors import TrainingDiverged
from lipe_core.methods.mystyle.laplacian_pyramid import pyramid_distance
from lipe_core.methods.mystyle.tuning import TrackedGenerator, invert, project, tune
from tests.support.toy_faces import toy_faces


@pytest.fixture
def generator() -> TrackedGenerator:
    return TrackedGenerator(toy_faces().network, EvaluationCounter(), lambda: None)


def test_inversion_finds_generated_images(generator: TrackedGenerator) -> None:
    w = generator.network.style(torch.randn(2, 5, generator=torch.Generator().manual_seed(1)))
    images = generator.network(w)
    found = invert(generator, images, 200, 0.1)
    start = pyramid_distance(generator.network(generator.network.w_average[None]).expand_as(images), images)
    assert (pyramid_distance(generator.network(found), images) < 0.2 * start).all()


def test_tuning_reproduces_the_images_and_leaves_the_mapping_network(generator: TrackedGenerator) -> None:
    mapping = {name: weight.clone() for name, weight in generator.network.mapping.named_parameters()}
    w, images = torch.randn(2, 8), torch.rand(2, 3, 16, 16) * 2 - 1
    before = pyramid_distance(generator.network(w), images).mean()
    tune(generator, w, images, 100, 1e-2)
    assert pyramid_distance(generator.network(w), images).mean() < 0.5 * before
    for name, weight in generator.network.mapping.named_parameters():
        assert torch.equal(weight, mapping[name])
    assert not any(weight.requires_grad or weight.grad is not None for weight in generator.network.parameters())


def test_a_projection_lies_in_the_dilated_hull_and_reproduces_an_image_from_it(
    generator: TrackedGenerator,
) -> None:
    anchors = torch.randn(3, 8)
    alpha = torch.tensor([[0.6, 0.5, -0.1]])
    image = generator.network(alpha @ anchors)
    found = project(generator, anchors, image, 200, 0.05, 0.2)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(6))
    assert found.min() >= -0.2
    start = pyramid_distance(generator.network(anchors.mean(dim=0)[None]), image)
    assert pyramid_distance(generator.network((found @ anchors)[None]), image) < 0.2 * start


def test_a_diverged_training_names_the_learning_rates(generator: TrackedGenerator) -> None:
    with pytest.raises(TrainingDiverged, match="learning rates"):
        tune(generator, torch.zeros(1, 8), torch.full((1, 3, 16, 16), torch.inf), 1, 1e-3)
