"""The promises that a job needs from every backbone: it resumes, stops without a trace, and can be repeated."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lipe_core.adapters.mixing import mixed
from lipe_core.adapters.prior import Prior
from lipe_core.adapters.textual_inversion import token_vectors
from lipe_core.backbone import BaseModel, PromptCache
from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.methods.nima import edit as nima
from lipe_core.methods.nima.config import NimaConfig
from lipe_core.methods.nima.preparation import PreparedSources
from lipe_core.methods.resources import Resources
from lipe_core.shapes import Size
from lipe_core.subject import Sample
from lipe_core.training import dataset
from lipe_core.training.config import PriorConfig
from lipe_core.training.train import TrainingRun, train_adapter
from tests.support.editing import TARGET, make_prior
from tests.support.nima_requests import PHOTO, half_mask, request

CONFIG = NimaConfig(steps=2, reconstruction_steps=1)
TRAINING = PriorConfig(steps=3, rank=2, learning_rate=1e-3, compute_dtype="float32")
FURTHER = "sks dog in a meadow"
FOUR = (TARGET, FURTHER, "a photo of sks dog", "a photo of sks dog in a meadow")


@pytest.fixture(params=["sdxl", "klein"])
def either(request: pytest.FixtureRequest) -> BaseModel:
    """The miniature SDXL, or the tiny klein."""
    model: BaseModel = request.getfixturevalue({"sdxl": "model", "klein": "klein"}[request.param])
    return model


def saved(prior: Prior, sha256: str) -> Prior:
    return replace(prior, manifest=replace(prior.manifest, adapter_sha256=sha256))


def weights(model: BaseModel) -> dict[str, torch.Tensor]:
    return {name: weight.clone() for name, weight in model.network.state_dict().items()}


def is_restored(model: BaseModel, before: dict[str, torch.Tensor]) -> bool:
    after = model.network.state_dict()
    return after.keys() == before.keys() and all(torch.equal(after[name], weight) for name, weight in before.items())


def stop_at(number: int) -> Any:
    def stop(step: int, *_: Any) -> None:
        if step == number:
            raise KeyError(number)

    return stop


def test_a_stopped_training_leaves_the_network_and_resumes_bit_for_bit(either: BaseModel, tmp_path: Path) -> None:
    samples = [Sample(Image.new("RGB", (64, 64), (60 * k, 90, 0)), "a photo of sks dog") for k in range(2)]
    identity, before = dataset.encode(either, samples), weights(either)
    unbroken = train_adapter(either, identity, identity[0], TRAINING)
    run = TrainingRun(checkpoint=tmp_path / "checkpoint.safetensors")
    with pytest.raises(KeyError):
        train_adapter(either, identity, identity[0], TRAINING, run=replace(run, on_step=stop_at(2)))
    assert is_restored(either, before)
    resumed = train_adapter(either, identity, identity[0], TRAINING, run=run)
    assert resumed.losses == unbroken.losses
    assert resumed.adapter.keys() == unbroken.adapter.keys()
    assert all(torch.equal(resumed.adapter[name], tensor) for name, tensor in unbroken.adapter.items())


def test_a_stopped_edit_leaves_the_network(either: BaseModel) -> None:
    before = weights(either)
    with pytest.raises(KeyError):
        nima.edit(either, request(), CONFIG, prior=make_prior(either), on_step=stop_at(4))
    assert is_restored(either, before)


def test_a_further_edit_of_a_kept_image_has_the_same_bytes_and_fewer_evaluations(either: BaseModel) -> None:
    prior, kept, mask = saved(make_prior(either), "a" * 64), PreparedSources(1 << 30), half_mask()
    nima.edit(either, request(mask=mask), CONFIG, prior=prior, resources=Resources(kept))
    (alone,) = nima.edit(either, request(FURTHER, mask=mask), CONFIG, prior=prior)
    (continued,) = nima.edit(either, request(FURTHER, mask=mask), CONFIG, prior=prior, resources=Resources(kept))
    assert [image.tobytes() for image in continued.images()] == [image.tobytes() for image in alone.images()]
    assert continued.evaluations < alone.evaluations


@pytest.fixture
def encoded(either: BaseModel, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The prompts of each call of the text encoders."""
    calls, encode = list[tuple[str, ...]](), type(either).encode_prompt

    def recorded(model: BaseModel, prompts: Sequence[str], *, size: Size) -> Conditioning:
        calls.append(tuple(prompts))
        return encode(model, prompts, size=size)

    monkeypatch.setattr(type(either), "encode_prompt", recorded)
    return calls


def test_an_edit_to_four_prompts_encodes_each_once(either: BaseModel, encoded: list[tuple[str, ...]]) -> None:
    nima.edit(either, request(*FOUR), CONFIG, prior=make_prior(either))
    assert len(encoded) == len(set(encoded)) == 6  # source and targets, both also with two other nouns


@pytest.mark.parametrize("has_vectors", [False, True])
def test_encodings_that_are_kept_change_no_byte(
    either: BaseModel, has_vectors: bool, encoded: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    if has_vectors and not either.token_tables:
        pytest.skip("its priors have no vectors")
    everywhere = "lipe_core.methods.nima.edit_mask.changed_region"  # else a random network might change nothing
    monkeypatch.setattr(everywhere, lambda x_0, _, size: torch.ones(len(x_0), 1, *size))
    prior = with_vectors(either, make_prior(either)) if has_vectors else make_prior(either)
    (kept,) = nima.edit(either, request(), CONFIG, prior=prior)
    assert len(encoded) == (8 if has_vectors else 6)  # with vectors, the base model reads source and target otherwise

    def anew(cache: PromptCache, prompts: Sequence[str], *, size: Size) -> Conditioning:
        return cache.model.encode_prompt(prompts, size=size)

    monkeypatch.setattr(PromptCache, "encode", anew)
    (uncached,) = nima.edit(either, request(), CONFIG, prior=prior)
    assert [image.tobytes() for image in kept.images()] == [image.tobytes() for image in uncached.images()]
    assert kept.image.tobytes() != PHOTO.tobytes()


def with_vectors(model: BaseModel, prior: Prior) -> Prior:
    """The prior with other embeddings of its token."""
    vectors = {name: vector.detach() + 1 for name, vector in token_vectors(model, prior.manifest.token).items()}
    return replace(prior, adapter={**prior.adapter, **vectors})


def test_outside_a_users_mask_every_byte_stays_with_a_mix_of_priors(either: BaseModel) -> None:
    first, second = saved(make_prior(either), "a" * 64), saved(make_prior(either, rank=2), "b" * 64)
    second = replace(second, manifest=replace(second.manifest, token="cat"))
    config = replace(CONFIG, mask_mode="source")  # a random network may change nothing that the other modes would find
    (edit,) = nima.edit(either, request(mask=half_mask()), config, prior=mixed(first, second, 0.5))
    outside = np.asarray(half_mask()) == 0
    assert (np.asarray(edit.image)[outside] == np.asarray(PHOTO)[outside]).all()
    assert (np.asarray(edit.image) != np.asarray(PHOTO)).any()
