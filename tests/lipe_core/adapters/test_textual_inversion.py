"""A token's learnt vectors stand where the token stands, in no other prompt, and only while they are on."""

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from lipe_core import sdxl
from lipe_core.adapters import lora
from lipe_core.adapters.prior import ADAPTER, Manifest, Prior, save_prior
from lipe_core.adapters.textual_inversion import split, token_vectors, use_token
from lipe_core.errors import InvalidPrior
from lipe_core.sdxl import BaseModel

PROMPTS = ("a photo of sks dog", "a photo of a dog")


def told(model: BaseModel) -> tuple[torch.Tensor, torch.Tensor]:
    """What the network is told of both prompts."""
    conditioning = sdxl.encode_prompt(model, PROMPTS, size=(64, 64))
    embeds, pooled = conditioning.prompt_embeds, conditioning.pooled_prompt_embeds
    return torch.cat([embeds[0].flatten(), pooled[0]]), torch.cat([embeds[1].flatten(), pooled[1]])


def moved(model: BaseModel) -> dict[str, torch.Tensor]:
    return {name: vectors.detach() + 0.5 for name, vectors in token_vectors(model, "sks").items()}


def test_the_token_means_the_vectors_while_they_are_on_and_other_words_what_they_did(model: BaseModel) -> None:
    named, bare = told(model)
    with use_token(model, "sks", moved(model)) as unworded:
        learnt = told(model)
        with unworded():
            assert torch.equal(told(model)[0], named)
        assert torch.equal(told(model)[0], learnt[0])
    assert not torch.allclose(learnt[0], named, atol=1e-3)
    assert torch.equal(learnt[1], bare)
    assert torch.equal(told(model)[0], named)
    with use_token(model, "sks", {name: v.detach() for name, v in token_vectors(model, "sks").items()}):
        torch.testing.assert_close(told(model)[0], named)


def test_gradients_reach_the_vectors_and_nothing_else(model: BaseModel) -> None:
    vectors = token_vectors(model, "sks")
    with use_token(model, "sks", vectors):
        sdxl.encode_prompt(model, PROMPTS, size=(64, 64)).prompt_embeds.square().sum().backward()
    assert all(v.grad is not None and v.grad.abs().sum() > 0 for v in vectors.values())
    assert all(p.grad is None for encoder in model.text_encoders for p in encoder.parameters())
    assert not sdxl.encode_prompt(model, PROMPTS, size=(64, 64)).prompt_embeds.requires_grad


def test_an_exception_inside_takes_them_off(model: BaseModel) -> None:
    named, _ = told(model)
    with pytest.raises(KeyError), use_token(model, "sks", moved(model)) as unworded, unworded():
        raise KeyError
    assert torch.equal(told(model)[0], named)


@pytest.mark.parametrize(
    "vectors", [{"lora_token.clip_l": torch.zeros(1, 3)}, {"lora_token.clip_g": torch.zeros(1, 32)}]
)
def test_vectors_that_do_not_fit_are_refused(model: BaseModel, vectors: dict[str, torch.Tensor]) -> None:
    with pytest.raises(InvalidPrior, match="do not fit"), use_token(model, "sks", vectors):
        pass


def test_a_prior_carries_them_and_plain_diffusers_still_loads_its_file(
    model: BaseModel, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    named, _ = told(model)
    with lora.new_adapter(model, rank=2, alpha=2.0, dropout=0.0, seed=1) as name:
        tensors = lora.exported(model, name) | moved(model)
    prior = Prior(tensors, Manifest("sks", "dog", model.checkpoint, None, model.fingerprint, (), (), {}, ()))
    save_prior(prior.adapter, prior.manifest, tmp_path / "prior")
    with lora.use_adapter(model, prior) as base_weights:
        learnt, _ = told(model)
        with base_weights():
            assert torch.equal(told(model)[0], named)
    pipeline = StableDiffusionXLPipeline.from_pretrained(tiny_checkpoint)
    pipeline.load_lora_weights(tmp_path / "prior", weight_name=ADAPTER)
    vectors, _ = split(prior.adapter)
    encoders = (pipeline.text_encoder, pipeline.text_encoder_2)
    for encoder, tokenizer, rows in zip(encoders, model.tokenizers, vectors.values(), strict=True):
        encoder.get_input_embeddings().weight.data[tokenizer("sks", add_special_tokens=False).input_ids] = rows
    theirs = told(BaseModel(**{**vars(model), "text_encoders": encoders}))[0]
    torch.testing.assert_close(learnt, theirs.detach())
