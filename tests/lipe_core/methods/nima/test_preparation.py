"""A further edit of an image starts from its inversion, with the same bytes as without."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from lipe_core import sdxl
from lipe_core.adapters.mixing import mixed
from lipe_core.adapters.prior import Prior
from lipe_core.masks.localization import SubjectFinder
from lipe_core.methods.nima import edit as nima
from lipe_core.methods.nima import preparation
from lipe_core.methods.nima.config import NimaConfig
from lipe_core.methods.nima.preparation import PreparedSources
from lipe_core.methods.request import Edit, EditRequest
from lipe_core.methods.resources import Resources
from lipe_core.methods.session import EditSession
from lipe_core.sdxl import BaseModel
from lipe_core.subject import Subject
from tests.support.editing import make_prior
from tests.support.nima_requests import PHOTO, SUBJECT, half_mask, request

CONFIG = NimaConfig(steps=2)
OTHER = "sks dog in a meadow"
LARGE = PHOTO.resize((200, 160))


def contents(edit: Edit) -> list[bytes]:
    return [image.tobytes() for image in edit.images()]


def saved(prior: Prior, sha256: str) -> Prior:
    return replace(prior, manifest=replace(prior.manifest, adapter_sha256=sha256))


@pytest.mark.parametrize(("image", "has_mask"), [(PHOTO, False), (LARGE, False), (LARGE, True)])
def test_a_further_edit_of_an_image_has_the_same_bytes_and_fewer_evaluations(
    model: BaseModel, image: Image.Image, has_mask: bool
) -> None:
    mask = half_mask().resize(image.size) if has_mask else None
    first, further = request(image=image, mask=mask), request(OTHER, image=image, mask=mask)
    prior, kept = saved(make_prior(model), "a" * 64), PreparedSources(1 << 30)
    nima.edit(model, first, CONFIG, prior=prior, resources=Resources(kept))
    (alone,) = nima.edit(model, further, CONFIG, prior=prior)
    (continued,) = nima.edit(model, further, CONFIG, prior=prior, resources=Resources(kept))
    assert contents(continued) == contents(alone)
    searches = 0 if has_mask else SubjectFinder(model, SUBJECT).evaluations
    looks = 2 if image is LARGE else 1
    assert continued.evaluations == alone.evaluations - CONFIG.steps - looks * searches


def test_all_that_a_source_depends_on_tells_it_from_others(model: BaseModel) -> None:
    asked, prior = request(), saved(make_prior(model), "a" * 64)
    inputs: list[tuple[EditRequest, Prior | None, NimaConfig]] = [
        (asked, prior, CONFIG),
        (replace(asked, source_prompt="a photo of sks dog in the snow"), prior, CONFIG),
        (replace(asked, subject=Subject("sks", "DOG")), prior, CONFIG),
        (replace(asked, image=PHOTO.rotate(90)), prior, CONFIG),
        (replace(asked, image=PHOTO.resize((32, 128))), prior, CONFIG),
        (replace(asked, mask=half_mask()), prior, CONFIG),
        (asked, saved(prior, "b" * 64), CONFIG),
        (asked, mixed(prior, saved(prior, "b" * 64), 0.5), CONFIG),
        (asked, None, CONFIG),
        (asked, prior, replace(CONFIG, steps=4)),
        (asked, prior, replace(CONFIG, source_attention_start=1.0)),
        (asked, prior, replace(CONFIG, crop=False)),
    ]

    def key(request: EditRequest, prior: Prior | None, config: NimaConfig) -> object:
        return preparation._key(EditSession.of(model, request, prior, keeps_token=True), config)

    keys = [key(*each) for each in inputs]
    with sdxl.tiled(model):
        keys.append(key(*inputs[0]))
    assert len(set(keys)) == len(keys)
    assert key(replace(asked, target_prompts=(OTHER,), seeds=(1, 2)), prior, replace(CONFIG, margin=0.1)) == keys[0]
    assert key(asked, make_prior(model), CONFIG) is None  # without a hash, it cannot be told from another


def test_a_project_gets_nothing_that_another_one_left(model: BaseModel) -> None:
    kept = PreparedSources(1 << 30)
    counts = [
        nima.edit(model, request(), CONFIG, resources=Resources(kept.of(project)))[0].evaluations
        for project in ("one", "two", "one")
    ]
    assert counts[0] == counts[1] > counts[2]


def test_the_sources_that_were_not_used_for_longest_leave(model: BaseModel) -> None:
    measured = PreparedSources(1 << 30)
    nima.edit(model, request(), CONFIG, resources=Resources(measured))
    ((_, one),) = measured._kept.values()
    assert one.nbytes > sum(x.nbytes for x in one.features.states.values()) > 0
    kept = PreparedSources(2 * one.nbytes)
    images = {name: Image.fromarray(np.roll(np.asarray(PHOTO), k, axis=0)) for k, name in enumerate("abc")}
    for name in "abac":  # b leaves for c
        nima.edit(model, request(image=images[name]), CONFIG, resources=Resources(kept.of("project", name)))
    assert kept.images == ["a", "c"]
    nima.edit(model, request(), CONFIG, resources=Resources(small := PreparedSources(one.nbytes - 1)))
    assert not small._kept
    kept.clear()
    assert not kept.images


def test_an_edit_that_was_stopped_keeps_nothing(model: BaseModel) -> None:
    kept = PreparedSources(1 << 30)

    def stop(step: int, steps: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nima.edit(model, request(), CONFIG, on_step=stop, resources=Resources(kept))
    assert not kept._kept
