import numpy as np
import pytest
import torch
from PIL import Image

from lipe_core.adapters.prior import Prior
from lipe_core.methods.ddim_edit import DdimConfig
from lipe_core.methods.session import EditSession
from lipe_core.sdxl import BaseModel
from tests.support.editing import MakeRequest
from tests.support.live_images import count_images


def test_without_a_prior_the_prompts_leave_the_token_out(deep_model: BaseModel, ask: MakeRequest, prior: Prior) -> None:
    request = ask("a photo of SKS dog, jumping", source="sks dog sitting")
    plain, personal = EditSession.of(deep_model, request, None), EditSession.of(deep_model, request, prior)
    assert (plain.source_prompt, plain.target_prompts) == ("dog sitting", ["a photo of dog, jumping"])
    assert (personal.source_prompt, personal.target_prompts) == ("sks dog sitting", ["a photo of sks dog, jumping"])
    # position 0 is start-of-text
    assert plain.encode([plain.source_prompt]).tokens.wanted[0].nonzero().flatten().tolist() == [1]
    assert personal.encode([personal.source_prompt]).tokens.wanted[0].nonzero().flatten().tolist() == [1, 2]


def test_an_image_of_another_size_keeps_its_size(deep_model: BaseModel, ask: MakeRequest) -> None:
    wide = Image.new("RGB", (300, 200), (10, 200, 30))
    session = EditSession.of(deep_model, ask(image=wide, mask=Image.new("L", (300, 200), 255)), None)
    x_0, mask = session.x_0(), session.user_mask()
    assert x_0.shape[1:] == deep_model.latent_shape(session.size)
    assert mask is not None
    (edit,) = session.edits(session.decode(x_0), DdimConfig(), 0, source_masks=session.mask_images(mask))
    assert edit.image.size == edit.source_mask.size == edit.edit_mask.size == (300, 200)
    assert (edit.parameters["height"], edit.parameters["width"]) == session.size


def test_edits_make_their_images_when_they_are_read(
    deep_model: BaseModel, ask: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = count_images(monkeypatch, (300, 200))
    source = Image.new("RGB", (300, 200), "green")  # without grain
    session = EditSession.of(deep_model, ask("a sks dog, jumping", "a sks dog, lying", image=source), None)
    mask = torch.zeros(2, 1, 8, 8)
    mask[..., 2:5, 2:5] = 1
    decoded = [Image.new("RGB", (96, 64), shade) for shade in ("red", "blue")]
    edits = session.edits(decoded, DdimConfig(), 0, edit_masks=session.mask_images(mask, 0.05), composite=True)
    assert count() == 1  # the source
    for edit, image in zip(edits, decoded, strict=True):
        made = edit.images()
        assert count() == 1 + 4
        assert [edit.image, edit.source_mask, edit.edit_mask, edit.uncomposited] == list(made)
        assert made.uncomposited == image.resize((300, 200), Image.Resampling.LANCZOS)
        black = np.asarray(made.edit_mask) == 0
        assert black.any()
        assert np.array_equal(np.asarray(made.image)[black], np.asarray(source)[black])
        del made
    assert count() == 1
