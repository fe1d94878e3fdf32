"""A mix of two priors changes every weight of the network by the weighted sum of both changes."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from lipe_core import sdxl
from lipe_core.adapters.full_attention import attention_weights, difference_name
from lipe_core.adapters.lora import use_adapter
from lipe_core.adapters.mixing import mixed
from lipe_core.adapters.prior import Prior
from lipe_core.adapters.textual_inversion import token_vectors
from lipe_core.errors import InvalidPrior, InvalidRequest
from lipe_core.sdxl import BaseModel
from tests.support.editing import make_prior

WEIGHT = 0.6


def changes(model: BaseModel, prior: Prior) -> dict[str, Tensor]:
    """The change of each weight of the network by the prior."""
    before = {name: weight.detach().clone() for name, weight in model.unet.named_parameters()}
    with use_adapter(model, prior):
        return {name: weight.detach() - before[name] for name, weight in model.unet.named_parameters()}


def of_token(prior: Prior, token: str, tensors: Mapping[str, Tensor] | None = None) -> Prior:
    adapter = prior.adapter if tensors is None else dict(tensors)
    return Prior(adapter, replace(prior.manifest, token=token))


def low_rank(model: BaseModel) -> tuple[Prior, Prior]:
    """Two LoRAs of other ranks; the second has no values and some layers of its own."""
    first, second = make_prior(model, rank=4), make_prior(model, rank=2)
    without_values = {name: tensor for name, tensor in second.adapter.items() if ".to_v." not in name}
    without_queries = {name: tensor for name, tensor in first.adapter.items() if ".to_q." not in name}
    return Prior(without_queries, first.manifest), of_token(second, "zwx", without_values)


def full_attention(model: BaseModel) -> tuple[Prior, Prior]:
    manifest = make_prior(model).manifest

    def differences(seed: int) -> Prior:
        draw = torch.Generator().manual_seed(seed)
        weights = attention_weights(model)
        return Prior(
            {f"unet.{difference_name(name)}": torch.randn(w.shape, generator=draw) / 10 for name, w in weights.items()},
            manifest,
        )

    return differences(1), of_token(differences(2), "zwx")


@pytest.mark.parametrize("make", [low_rank, full_attention])
def test_the_changes_of_the_network_add_up(model: BaseModel, make) -> None:
    first, second = make(model)
    one, other, both = changes(model, first), changes(model, second), changes(model, mixed(first, second, WEIGHT))
    assert any(change.abs().max() > 0.01 for change in other.values())
    for name, change in both.items():
        torch.testing.assert_close(change, one[name] + WEIGHT * other[name], atol=1e-5, rtol=0)


def test_each_token_keeps_its_embedding_and_base_weights_disable_both(model: BaseModel) -> None:
    base = make_prior(model)
    ours, theirs = (
        {name: torch.full_like(rows, value).detach() for name, rows in token_vectors(model, token).items()}
        for token, value in (("dog", 0.3), ("cat", -0.2))
    )
    first = of_token(base, "dog", base.adapter | ours)
    mix = mixed(first, of_token(base, "cat", base.adapter | theirs), WEIGHT)

    def embedded(prompt: str) -> Tensor:
        return sdxl.encode_prompt(model, [prompt], size=(64, 64)).prompt_embeds

    plain, plain_cat = embedded("a dog and a cat"), embedded("a cat")
    with use_adapter(model, first):
        of_first = embedded("a dog")
    with use_adapter(model, mix) as without_prior:
        torch.testing.assert_close(embedded("a dog"), of_first)
        assert not torch.allclose(embedded("a cat"), plain_cat)
        with without_prior():
            torch.testing.assert_close(embedded("a dog and a cat"), plain)
    torch.testing.assert_close(embedded("a dog and a cat"), plain)


def test_priors_that_cannot_be_mixed_are_refused(model: BaseModel) -> None:
    first, (full, _) = make_prior(model), full_attention(model)
    elsewhere = Prior(first.adapter, replace(first.manifest, fingerprint="0"))
    with pytest.raises(InvalidRequest, match="different base models"):
        mixed(first, elsewhere, 1.0)
    with pytest.raises(InvalidRequest, match="same `tuning`"):
        mixed(first, full, 1.0)
    vectors = {name: rows.detach() for name, rows in token_vectors(model, "sks").items()}
    with pytest.raises(InvalidRequest, match="both priors define the token 'SKS'"):
        mixed(first, of_token(first, "SKS", first.adapter | vectors), 1.0)
    colliding = of_token(first, "sks sks", first.adapter | token_vectors(model, "sks sks"))
    with pytest.raises(InvalidPrior, match="share a part"), use_adapter(model, mixed(first, colliding, 1.0)):
        pass
