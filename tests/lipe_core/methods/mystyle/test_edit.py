"""MyStyle's parts on random weights, and the whole of it on the drawn faces with the committed generator."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lipe_core.diffusion.guidance import EvaluationCounter
from lipe_core.errors import InvalidRequest, TrainingDiverged
from lipe_core.methods.mystyle import edit as mystyle
from lipe_core.methods.mystyle.edit import MyStyleConfig, Studio, face_generator, invert, personal, project, tune
from lipe_core.methods.mystyle.face_generator import CONFIG, FOLDER
from lipe_core.methods.mystyle.laplacian_pyramid import pyramid_distance
from lipe_core.methods.request import EditRequest
from lipe_core.metrics.background import psnr
from lipe_core.pixels import to_pixels
from lipe_core.sdxl import BaseModel
from lipe_core.subject import Subject
from menagerie.attributes import ATTRIBUTES, EXPRESSIONS, with_action
from menagerie.captions import edit_prompt
from menagerie.draw import mask
from menagerie.experiment import edit_request, image_of
from menagerie.models import CHECKPOINT
from menagerie.probe import load_probe
from menagerie.subjects import TOKEN, benchmark
from tests.support.editing import MakeRequest, difference
from tests.support.toy_faces import toy_faces

QUICK = MyStyleConfig(inversion_steps=2, tuning_steps=1, projection_steps=2, image_steps=1)


@pytest.fixture
def studio() -> Studio:
    return Studio(toy_faces().network, EvaluationCounter(), lambda: None)


def test_inversion_finds_what_the_generator_painted(studio: Studio) -> None:
    w = studio.generator.style(torch.randn(2, 5, generator=torch.Generator().manual_seed(1)))
    pictures = studio.generator(w)
    found = invert(studio, pictures, 200, 0.1)
    start = pyramid_distance(studio.generator(studio.generator.w_average[None]).expand_as(pictures), pictures)
    assert (pyramid_distance(studio.generator(found), pictures) < 0.2 * start).all()


def test_tuning_gives_the_pictures_and_leaves_the_mapping_network(studio: Studio) -> None:
    mapping = {name: weight.clone() for name, weight in studio.generator.mapping.named_parameters()}
    at, pictures = torch.randn(2, 8), torch.rand(2, 3, 16, 16) * 2 - 1
    before = pyramid_distance(studio.generator(at), pictures).mean()
    tune(studio, at, pictures, 100, 1e-2)
    assert pyramid_distance(studio.generator(at), pictures).mean() < 0.5 * before
    for name, weight in studio.generator.mapping.named_parameters():
        assert torch.equal(weight, mapping[name])
    assert not any(weight.requires_grad or weight.grad is not None for weight in studio.generator.parameters())


def test_a_picture_is_projected_into_the_dilated_hull_and_onto_itself_if_it_lies_there(studio: Studio) -> None:
    anchors = torch.randn(3, 8)
    alpha = torch.tensor([[0.6, 0.5, -0.1]])
    picture = studio.generator(alpha @ anchors)
    config = MyStyleConfig(projection_steps=200, projection_learning_rate=0.05, beta=0.2)
    found = project(studio, anchors, picture, config)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(6))
    assert found.min() >= -0.2
    start = pyramid_distance(studio.generator(anchors.mean(dim=0)[None]), picture)
    assert pyramid_distance(studio.generator((found @ anchors)[None]), picture) < 0.2 * start


def test_a_personal_direction_goes_all_the_way_along_the_direction() -> None:
    anchors, direction = torch.randn(4, 8), torch.randn(8)
    change = personal(direction, anchors)
    assert (change @ anchors @ direction).item() == pytest.approx(direction.square().sum().item(), rel=1e-3)
    assert change.sum().abs() < 1e-4
    same = torch.ones(3, 8)
    assert torch.equal(personal(direction, same), torch.zeros(1, 3))


def test_nothing_asked_is_the_projection_and_a_strength_of_0_too(deep_model: BaseModel, ask: MakeRequest) -> None:
    (still,) = mystyle.edit(deep_model, ask("a photo of sks dog sitting"), QUICK)
    (weak,) = mystyle.edit(deep_model, ask(), replace(QUICK, strength=0.0))
    (strong,) = mystyle.edit(deep_model, ask(), QUICK)
    assert difference(still.image, weak.image) < 0.01
    assert difference(still.image, strong.image) > 1
    assert still.timings.keys() == {"inverting", "tuning", "projecting", "editing"}


def test_what_it_cannot_do_is_refused(deep_model: BaseModel, ask: MakeRequest, photo: Image.Image) -> None:
    with pytest.raises(InvalidRequest, match="references, got 0"):
        mystyle.edit(deep_model, ask(references=()), QUICK)
    with pytest.raises(InvalidRequest, match="references, got 1"):
        mystyle.edit(deep_model, ask(references=(photo,)), QUICK)
    cat = EditRequest(photo, "sks cat", ("sks cat jumping",), Subject("sks", "cat"), references=(photo, photo))
    with pytest.raises(InvalidRequest, match="faces only"):
        mystyle.edit(deep_model, cat, QUICK)
    with pytest.raises(InvalidRequest, match="jumping, sitting, in"):
        mystyle.edit(deep_model, ask("a photo of sks dog flying"), QUICK)


def test_a_checkpoint_without_a_generator_or_with_a_broken_one_is_refused(
    deep_model: BaseModel, ask: MakeRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for checkpoint in (str(tmp_path), "org/name"):
        with pytest.raises(InvalidRequest, match="no face generator"):
            mystyle.edit(replace(deep_model, checkpoint=checkpoint), ask(), QUICK)
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / CONFIG).write_text("{}")
    with pytest.raises(InvalidRequest, match="cannot use") as refused:
        mystyle.edit(replace(deep_model, checkpoint=str(tmp_path)), ask(), QUICK)
    assert str(tmp_path) not in str(refused.value)
    assert str(tmp_path / FOLDER) in caplog.text


def test_a_training_that_diverges_says_so(studio: Studio) -> None:
    with pytest.raises(TrainingDiverged, match="learning rates"):
        tune(studio, torch.zeros(1, 8), torch.full((1, 3, 16, 16), torch.inf), 1, 1e-3)


def test_on_a_drawn_face_tuning_gives_the_references_an_edit_follows_and_the_background_goes_along(
    deep_model: BaseModel,
) -> None:
    drawn = next(subject for subject in benchmark() if subject.identity.kind == "face")
    faces = face_generator(replace(deep_model, checkpoint=str(CHECKPOINT)))
    studio = Studio(faces.network, EvaluationCounter(), lambda: None)
    side = faces.network.sizes.resolution
    references = to_pixels([image_of(drawing).resize((side, side)) for drawing in drawn.references])
    anchors = invert(studio, references, 60, 0.1)
    before = pyramid_distance(studio.generator(anchors), references).mean()
    tune(studio, anchors, references, 60, 1e-2)
    assert pyramid_distance(studio.generator(anchors), references).mean() < 0.6 * before

    smiling = with_action(drawn.test, expression="smiling")
    neutral = with_action(drawn.test, expression="neutral")
    request = replace(
        edit_request(drawn), image=image_of(neutral), source_prompt=edit_prompt(neutral, TOKEN),
        target_prompts=(edit_prompt(neutral, TOKEN), edit_prompt(smiling, TOKEN)),
    )  # fmt: skip
    config = MyStyleConfig(60, 0.1, 60, 1e-2, 60, 0.1, 60, beta=0.5, strength=2.0)
    left, smiled = mystyle.edit(replace(deep_model, checkpoint=str(CHECKPOINT)), request, config)
    logits = load_probe().net(to_pixels([left.image, smiled.image]))[list(ATTRIBUTES).index("expression")]
    stayed, followed = logits.softmax(dim=1)[:, EXPRESSIONS.index("smiling")]
    assert followed > stayed + 0.1
    background = ~mask(neutral)
    assert psnr(np.asarray(smiled.image), np.asarray(request.image), background) < 25  # NIMA's is above 30
