"""A token's learned vectors replace its embedding wherever the token occurs, and only inside `use_token`."""

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from lipe_core import sdxl
from lipe_core.adapters import lora
from lipe_core.adapters.prior import ADAPTER, Manifest, Prior, save_prior
from lipe_core.adapters.textual_inversion import split_vectors, token_vectors, use_token
from lipe_core.errors import InvalidPrior
from lipe_core.sdxl import BaseModel

PROMPTS = ("a photo of sks dog", "a photo of a dog")


def encoded(model: BaseModel) -> tuple[torch.Tensor, torch.Tensor]:
    """The conditioning of both prompts as two vectors."""
    conditioning = sdxl.encode_prompt(model, PROMPTS, size=(64, 64))
    embeds, pooled = conditioning.prompt_embeds, conditioning.pooled_prompt_embeds
    return torch.cat([embeds[0].flatten(), pooled[0]]), torch.cat([embeds[1].flatten(), pooled[1]])


def shifted(model: BaseModel) -> dict[str, torch.Tensor]:
    return {name: vectors.detach() + 0.5 for name, vectors in token_vectors(model, "sks").items()}


def test_the_vectors_replace_the_token_inside_the_context_and_no_other_word(model: BaseModel) -> None:
    named, bare = encoded(model)
    with use_token(model, "sks", shifted(model)) as base_embeddings:
        learned = encoded(model)
        with base_embeddings():
            assert torch.equal(encoded(model)[0], named)
        assert torch.equal(encoded(model)[0], learned[0])
    assert not torch.allclose(learned[0], named, atol=1e-3)
    assert torch.equal(learned[1], bare)
    assert torch.equal(encoded(model)[0], named)
    with use_token(model, "sks", {name: v.detach() for name, v in token_vectors(model, "sks").items()}):
        torch.testing.assert_close(encoded(model)[0], named)


def test_gradients_reach_the_vectors_and_nothing_else(model: BaseModel) -> None:
    vectors = token_vectors(model, "sks")
    with use_token(model, "sks", vectors):
        sdxl.encode_prompt(model, PROMPTS, size=(64, 64)).prompt_embeds.square().sum().backward()
    assert all(v.grad is not None and v.grad.abs().sum() > 0 for v in vectors.values())
    assert all(p.grad is None for encoder in model.text_encoders for p in encoder.parameters())
    assert not sdxl.encode_prompt(model, PROMPTS, size=(64, 64)).prompt_embeds.requires_grad


def test_an_exception_inside_removes_them(model: BaseModel) -> None:
    named, _ = encoded(model)
    with pytest.raises(KeyError), use_token(model, "sks", shifted(model)) as base_embeddings, base_embeddings():
        raise KeyError
    assert torch.equal(encoded(model)[0], named)


@pytest.mark.parametrize(
    "vectors", [{"lora_token.clip_l": torch.zeros(1, 3)}, {"lora_token.clip_g": torch.zeros(1, 32)}]
)
def test_vectors_that_do_not_fit_are_refused(model: BaseModel, vectors: dict[str, torch.Tensor]) -> None:
    with pytest.raises(InvalidPrior, match="do not fit"), use_token(model, "sks", vectors):
        pass


def test_a_prior_contains_them_and_plain_diffusers_still_loads_its_file(
    model: BaseModel, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    named, _ = encoded(model)
    with lora.new_adapter(model, rank=2, alpha=2.0, seed=1) as name:
        tensors = lora.export_adapter(model, name) | shifted(model)
    prior = Prior(tensors, Manifest("sks", "dog", model.checkpoint, None, model.fingerprint, (), (), {}, ()))
    save_prior(prior.adapter, prior.manifest, tmp_path / "prior")
    with lora.use_adapter(model, prior) as base_weights:
        learned, _ = encoded(model)
        with base_weights():
            assert torch.equal(encoded(model)[0], named)
    pipeline = StableDiffusionXLPipeline.from_pretrained(tiny_checkpoint)
    pipeline.load_lora_weights(tmp_path / "prior", weight_name=ADAPTER)
    vectors, _ = split_vectors(prior.adapter)
    encoders = (pipeline.text_encoder, pipeline.text_encoder_2)
    for encoder, tokenizer, rows in zip(encoders, model.tokenizers, vectors.values(), strict=True):
        encoder.get_input_embeddings().weight.data[tokenizer("sks", add_special_tokens=False).input_ids] = rows
    theirs = encoded(BaseModel(**{**vars(model), "text_encoders": encoders}))[0]
    torch.testing.assert_close(learned, theirs.detach())
