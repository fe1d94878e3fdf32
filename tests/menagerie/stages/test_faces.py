"""The stage of the face generator: codes, a few steps of training, and directions."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lipe_core.methods.mystyle.face_generator import FOLDER, load_face_generator
from lipe_core.methods.mystyle.stylegan2 import Generator, Sizes
from menagerie import pretrain
from menagerie.attributes import ACTION_ATTRIBUTES, with_action
from menagerie.captions import action_phrases, parse_caption
from menagerie.stages import faces
from menagerie.stages.faces import CODE_SIZE, code_of, sample_face, train_faces, with_directions
from menagerie.stages.loop import Settings

SMALL = Sizes(widths=(8, 8, 4), z_size=CODE_SIZE, w_size=8, mapping_layers=1)


def test_a_code_has_one_entry_for_each_attribute_and_an_action_changes_its_own_entries_only() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        face = sample_face(rng)
        code = code_of(face)
        assert code.shape == (CODE_SIZE,)
        assert (code[: -faces._TRAITS] == 1).sum() == len(faces._NAMED)
        assert np.abs(code[-faces._TRAITS :]).max() <= 1.01
        other = "left" if face.action.head != "left" else "right"
        assert (code_of(with_action(face, head=other)) != code).sum() == 2


def test_phrases_are_those_of_the_captions() -> None:
    phrases = action_phrases("person")
    assert set(phrases) == set(ACTION_ATTRIBUTES)
    assert set(phrases["pose"]) == {"upright", "tilted"}
    for name, values in phrases.items():
        for value, forms in values.items():
            assert all(parse_caption(phrase) == {name: {value}} for phrase in forms)


def test_training_resumes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    settings = Settings(tmp_path, minutes=60.0, steps=1, batch=2, images=16, warmup=1)
    trained = train_faces(Generator(SMALL), settings)
    resumed = Settings(tmp_path, minutes=60.0, steps=4, batch=2, images=16, warmup=1, resume=True)
    again = train_faces(Generator(SMALL), resumed)
    assert trained.w_average.abs().sum() > 0
    assert any((one != other).any() for one, other in zip(trained.parameters(), again.parameters(), strict=True))
    assert (tmp_path / "images" / "faces.png").exists()
    assert not again.training


def test_directions_lead_from_one_value_to_another_and_sum_to_zero() -> None:
    torch.manual_seed(0)
    generator = with_directions(Generator(SMALL).requires_grad_(False), seed=0, count=50)
    for name, values in generator.phrases.items():
        total = torch.stack([generator.directions[name, value] for value in values]).sum(dim=0)
        assert total.abs().max() < 1e-4
    rng = np.random.default_rng(1)
    face = sample_face(rng)
    ends = [torch.from_numpy(code_of(with_action(face, head=head)))[None] for head in ("left", "right")]
    left, right = (generator.network.style(z)[0] for z in ends)
    direction = generator.directions["head", "right"] - generator.directions["head", "left"]
    assert torch.cosine_similarity(right - left, direction, dim=0) > 0.7


def test_the_stage_writes_a_folder_that_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrain, "FACE_SIZES", SMALL)
    options = pretrain.parse(["--stage", "faces", "--out", str(tmp_path)])
    pretrain.run_stage("faces", Settings(tmp_path, minutes=60.0, steps=1, batch=2, images=16), options)
    assert load_face_generator(tmp_path / "pipeline" / FOLDER).nouns == ("person",)
