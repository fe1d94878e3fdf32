"""Prompts for the transformer: hidden states of a language model that reads the prompt as a user's message.

As `Flux2KleinPipeline.encode_prompt` of diffusers: the chat template without thinking, padded to 512 tokens, or to the
length that a small tokenizer states. The hidden states after three of the layers are concatenated. The transformer
reads the padding, too: it gets no mask.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor
from transformers import BatchEncoding, Qwen2TokenizerFast, Qwen3ForCausalLM

from lipe_core.checkpoint.flux2_layout import TEXT_LAYERS
from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.errors import PromptTooLong, WordNotFound
from lipe_core.flux2.base_model import Networks

TEXT_LENGTH = 512
"""Tokens of an encoded prompt, unless the tokenizer states fewer."""

_PLACE = "PROMPT"
"""Stands for the prompt where its place in the template is measured."""


@torch.no_grad()
def encode_prompt(model: Networks, prompts: Sequence[str]) -> Conditioning:
    """The prompts' embeddings. The empty prompt is the unconditional row of guidance.

    The language model computes on the model's device. If it lies in main memory, it returns there.
    """
    tokens = tokenize(model.tokenizer, prompts).to(model.device)
    with on_device(model):
        embeds = embed(model.text_encoder, tokens.input_ids, tokens.attention_mask).to(model.device, model.dtype)
    empty = embeds.new_empty(len(embeds), 0)
    return Conditioning(prompt_embeds=embeds, pooled_prompt_embeds=empty, time_ids=empty)


def tokenize(tokenizer: Qwen2TokenizerFast, prompts: Sequence[str]) -> BatchEncoding:
    """Token ids and attention mask (b, n) of the prompts in the chat template, padded to `text_length`."""
    texts = [_in_template(tokenizer, prompt) for prompt in prompts]
    length = text_length(tokenizer)
    return tokenizer(texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt")


def embed(text_encoder: Qwen3ForCausalLM, ids: Int[Tensor, "b n"], mask: Int[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
    """The hidden states of the tokens after `TEXT_LAYERS`, concatenated. Gradients flow."""
    # Without the head, which would make logits of the whole vocabulary for each token.
    output = text_encoder.model(input_ids=ids, attention_mask=mask, output_hidden_states=True, use_cache=False)
    layers = torch.stack([output.hidden_states[layer] for layer in TEXT_LAYERS], dim=2)
    return rearrange(layers, "b n layer d -> b n (layer d)")


def text_length(tokenizer: Qwen2TokenizerFast) -> int:
    """Tokens of an encoded prompt, with those of the template and the padding."""
    return min(TEXT_LENGTH, int(tokenizer.model_max_length))


def content_positions(model: Networks, prompt: str) -> range:
    """Positions of the tokens that begin in the prompt, without those of the template."""
    start, end = _span(model, prompt)
    found = [k for k, (first, last) in enumerate(_offsets(model, prompt)) if first < end and last > start]
    return range(found[0], found[-1] + 1) if found else range(0)


def token_positions(model: Networks, prompt: str, words: Sequence[str]) -> tuple[int, ...]:
    """Positions of the tokens of `words` in the encoded prompt, ascending, of every occurrence.

    Words are found by their letters: a token may begin with the space before a word. Raises WordNotFound for a word
    that the prompt does not contain. A word that is cut off with the end of a long prompt counts as not contained.
    """
    start, _ = _span(model, prompt)
    offsets, positions = _offsets(model, prompt), set[int]()
    for word in words:
        spans = [
            (start + match.start(), start + match.end())
            for match in re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", prompt, re.IGNORECASE)
        ]
        found = {k for k, (first, last) in enumerate(offsets) for a, b in spans if first < b and last > a}
        if not found:
            count = len(content_positions(model, prompt))
            raise WordNotFound(f"{word!r} is not among the first {count} tokens of {prompt!r}: name it there")
        positions |= found
    return tuple(sorted(positions))


def is_in_vocabulary(model: Networks, phrase: str) -> bool:
    """Whether each word of the phrase is one token, as it is in the middle of a sentence."""
    return all(len(model.tokenizer(f" {word}", add_special_tokens=False).input_ids) == 1 for word in phrase.split())


def require_length(model: Networks, prompt: str) -> None:
    """Raise PromptTooLong for a prompt whose end the text encoder would not read."""
    if (count := _token_count(model, prompt)) > (limit := _token_limit(model)):
        raise PromptTooLong(f"{prompt!r} has {count} tokens, and the base model reads {limit}: shorten it")


def shortened(model: Networks, prompt: str, end: str = "") -> str:
    """The prompt without its last words, so that the text encoder reads all of it, also with `end` behind it."""
    words = prompt.split(" ")
    while len(words) > 1 and _token_count(model, " ".join(words) + end) > _token_limit(model):
        words.pop()
    return " ".join(words)


def _in_template(tokenizer: Qwen2TokenizerFast, prompt: str) -> str:
    text: str = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    return text


def _span(model: Networks, prompt: str) -> tuple[int, int]:
    """The first character of the prompt in the template, and the one behind it."""
    start = _in_template(model.tokenizer, _PLACE).index(_PLACE)
    return start, start + len(prompt)


def _offsets(model: Networks, prompt: str) -> list[tuple[int, int]]:
    """The characters of each token of the prompt in its template, as far as the text encoder reads."""
    encoded = model.tokenizer(
        _in_template(model.tokenizer, prompt),
        truncation=True,
        max_length=text_length(model.tokenizer),
        return_offsets_mapping=True,
    )
    offsets: list[tuple[int, int]] = encoded.offset_mapping
    return offsets


def _token_count(model: Networks, prompt: str) -> int:
    return len(model.tokenizer(prompt, add_special_tokens=False).input_ids)


def _token_limit(model: Networks) -> int:
    """Tokens without those of the template."""
    return text_length(model.tokenizer) - len(model.tokenizer(_in_template(model.tokenizer, "")).input_ids)


@contextmanager
def on_device(model: Networks) -> Iterator[None]:
    """Context manager that moves the text encoder to the model's device, and back to where it was."""
    place = model.text_encoder.device
    if place == model.device:
        yield
        return
    model.text_encoder.to(model.device)
    try:
        yield
    finally:
        model.text_encoder.to(place)
