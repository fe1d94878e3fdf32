"""A denoiser that also returns the attention to the subject's words."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from lipe_core.backbone import BaseModel, PromptCache, Tokens
from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.diffusion.ddim import Denoiser
from lipe_core.diffusion.guidance import EvaluationCounter, counted, guided
from lipe_core.errors import InvalidRequest
from lipe_core.shapes import AttentionMap, Latents, RowIndices, RowTimesteps, Size
from lipe_core.subject import Subject


@dataclass(frozen=True)
class Prompts:
    """A batch of encoded prompts and the positions of the subject's words in them."""

    cond: Conditioning
    uncond: Conditioning
    tokens: Tokens
    latent_size: tuple[int, int]

    def select(self, rows: RowIndices) -> "Prompts":
        """The prompts with these indices, in this order; an index may repeat."""
        tokens = Tokens(self.tokens.wanted[rows], self.tokens.content[rows])
        return Prompts(self.cond.select(rows), self.uncond.select(rows), tokens, self.latent_size)


def encode_prompts(
    model: BaseModel,
    prompts: Sequence[str],
    subject: Subject,
    size: Size,
    *,
    names_token: bool = True,
    negative_prompt: str | None = "",
    cache: PromptCache | None = None,
) -> Prompts:
    """Encode prompts. Raises InvalidRequest for a prompt in which the model does not find the subject.

    `names_token` says whether the prompts name the subject by token and class noun, or by the class noun alone.
    Guidance leads away from `negative_prompt`. With None there is no guidance, and `uncond` is `cond`.
    """
    words = (subject.token, subject.class_noun) if names_token else (subject.class_noun,)
    try:
        wanted = [model.token_positions(prompt, words) for prompt in prompts]
    except ValueError as error:
        raise InvalidRequest(str(error)) from error
    content = [model.content_positions(prompt) for prompt in prompts]
    cache = cache or PromptCache(model)
    cond = uncond = cache.encode(prompts, size=size)
    if negative_prompt is not None:
        uncond = cache.encode([negative_prompt], size=size).expand(len(prompts))
    _, rows, columns = model.latent_shape(size)
    return Prompts(cond, uncond, Tokens.of(wanted, content, cond.prompt_embeds.shape[1]), (rows, columns))


@dataclass(frozen=True)
class RecordingDenoiser:
    """The network under a batch of prompts: `denoise_and_record(x_t, t)` returns eps and each row's attention map."""

    denoise_and_record: Callable[[Latents, int], tuple[Latents, AttentionMap]]
    counter: EvaluationCounter


@contextmanager
def recording_denoiser(
    model: BaseModel,
    prompts: Prompts,
    guidance_scale: float,
    *,
    attention_tokens: int,
    refine: int,
) -> Iterator[RecordingDenoiser]:
    """Context manager that installs attention recording and yields the denoiser of these prompts.

    `attention_tokens` and `refine` are those of `BaseModel.record_attention`.
    """
    counter = EvaluationCounter()

    def denoiser(conditioning: Conditioning) -> Denoiser:
        return counted(model.denoiser(conditioning), counter)

    with model.record_attention(
        prompts.tokens, latent_size=prompts.latent_size, attention_tokens=attention_tokens, refine=refine
    ) as store:
        denoise = guided(denoiser, prompts.cond, prompts.uncond, guidance_scale)

        def denoise_and_record(x_t: Latents, t: int) -> tuple[Latents, AttentionMap]:
            return denoise(x_t, t), store.pop()

        yield RecordingDenoiser(denoise_and_record, counter)


@torch.no_grad()
def attention_maps(model: BaseModel, prompts: Prompts, x_t: Latents, t: RowTimesteps, *, refine: int) -> AttentionMap:
    """The attention maps of one call of the network, each row at its own timestep."""
    with model.record_attention(
        prompts.tokens, latent_size=prompts.latent_size, attention_tokens=256, refine=refine
    ) as store:
        model.predict(x_t, t, prompts.cond)
        return store.pop()
