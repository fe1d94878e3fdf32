"""Prompts for the base model: embeddings of both text encoders, and the positions of words among the tokens.

SDXL, https://arxiv.org/abs/2307.01952, sections 2.1 (two encoders) and 2.2 (micro-conditioning).
"""

from collections.abc import Sequence

import torch
from einops import rearrange

from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.errors import PromptTooLong, WordNotFound
from lipe_core.sdxl.base_model import Networks
from lipe_core.shapes import Size


def encode_prompt(model: Networks, prompts: Sequence[str], *, size: Size) -> Conditioning:
    """The prompts' embeddings with the micro-conditioning of an uncropped image of this size.

    The empty prompt is the unconditional row of guidance; it is zeros if the checkpoint sets
    `force_zeros_for_empty_prompt`, as SDXL does.
    """
    embeds, pooled = [], torch.empty(0)
    for tokenizer, encoder in zip(model.tokenizers, model.text_encoders, strict=True):
        tokens = tokenizer(
            list(prompts),
            padding="max_length",
            max_length=tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        output = encoder(tokens.input_ids.to(encoder.device), output_hidden_states=True)
        embeds.append(output.hidden_states[-2])
        pooled = output[0]
    keep = torch.tensor([bool(prompt) or not model.zero_empty_prompt for prompt in prompts])
    keep = keep.to(model.device, model.dtype)
    time_ids = torch.tensor([[*size, 0, 0, *size]], dtype=model.dtype, device=model.device)
    return Conditioning(
        prompt_embeds=torch.cat(embeds, dim=-1).to(keep) * rearrange(keep, "b -> b 1 1"),
        pooled_prompt_embeds=pooled.to(keep) * rearrange(keep, "b -> b 1"),
        time_ids=time_ids.expand(len(prompts), 6),
    )


def size_conditioning(original: Size, size: Size) -> tuple[float, ...]:
    """The micro-conditioning of an image that was resized and cropped to `size`.

    A larger original counts as one of `size`, because edits ask for `size`. A smaller one keeps its own size, so that
    the network does not learn its blur as part of the subject.
    """
    scale = max(size[0] / original[0], size[1] / original[1])
    top, left = (round((scale * side - target) / 2) for side, target in zip(original, size, strict=True))
    height, width = (min(side, target) for side, target in zip(original, size, strict=True))
    return tuple(map(float, (height, width, top, left, *size)))


def token_positions(model: Networks, prompt: str, words: Sequence[str]) -> tuple[int, ...]:
    """Positions of the tokens of `words` in the encoded prompt, ascending, of every occurrence.

    Raises WordNotFound for a word that the prompt does not contain or the tokenizer does not know. A word that is cut
    off with the end of a long prompt counts as not contained.
    """
    tokenizer = model.tokenizers[0]
    ids = content_tokens(model, prompt)
    positions: set[int] = set()
    for word in words:
        wanted = tokenizer(word, add_special_tokens=False).input_ids
        if tokenizer.unk_token_id in wanted:
            raise WordNotFound(f"the base model's tokenizer does not know {word!r}: choose another word")
        starts = [i for i in range(len(ids)) if wanted and ids[i : i + len(wanted)] == wanted]
        if not starts:
            raise WordNotFound(f"{word!r} is not among the first {len(ids)} tokens of {prompt!r}: name it there")
        positions.update(1 + start + offset for start in starts for offset in range(len(wanted)))
    return tuple(sorted(positions))


def is_in_vocabulary(model: Networks, phrase: str) -> bool:
    """Whether each word of the phrase is one token. A word that the tokenizer splits was rare in the training data."""
    tokenizer = model.tokenizers[0]
    return all(len(tokenizer(word, add_special_tokens=False).input_ids) == 1 for word in phrase.split())


def require_length(model: Networks, prompt: str) -> None:
    """Raise PromptTooLong for a prompt whose end the text encoders would not read."""
    if (count := _token_count(model, prompt)) > (limit := _token_limit(model)):
        raise PromptTooLong(f"{prompt!r} has {count} tokens, and the base model reads {limit}: shorten it")


def shortened(model: Networks, prompt: str, end: str = "") -> str:
    """The prompt without its last words, so that the text encoders read all of it, also with `end` behind it."""
    words = prompt.split(" ")
    while len(words) > 1 and _token_count(model, " ".join(words) + end) > _token_limit(model):
        words.pop()
    return " ".join(words)


def _token_count(model: Networks, prompt: str) -> int:
    return max(len(tokenizer(prompt, add_special_tokens=False).input_ids) for tokenizer in model.tokenizers)


def _token_limit(model: Networks) -> int:
    """Tokens without those of start and end."""
    return int(min(tokenizer.model_max_length for tokenizer in model.tokenizers)) - 2


def content_tokens(model: Networks, prompt: str) -> list[int]:
    """The prompt's token ids without start, end and padding; in the encoded prompt their positions are 1, 2, ..."""
    tokenizer = model.tokenizers[0]
    ids: list[int] = tokenizer(prompt, add_special_tokens=False).input_ids
    return ids[: tokenizer.model_max_length - 2]
