"""The network under one branch's prompts, source or target, watched for where it sees the subject."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from lipe_core import sdxl
from lipe_core.adapters.full_attention import BaseWeights
from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.diffusion.ddim import Denoiser
from lipe_core.diffusion.guidance import EvaluationCounter, counted, guided, guided_from
from lipe_core.errors import InvalidRequest
from lipe_core.sdxl import AttentionStore, BaseModel, Tokens, record_attention
from lipe_core.shapes import AttentionMap, Latents, Size
from lipe_core.subject import Subject


@dataclass(frozen=True)
class Prompts:
    """One branch's prompts as the network takes them, and where in them the subject is named."""

    cond: Conditioning
    uncond: Conditioning
    tokens: Tokens
    latent_size: tuple[int, int]


def encode_prompts(
    model: BaseModel,
    prompts: Sequence[str],
    subject: Subject,
    size: Size,
    *,
    personal: bool = True,
    negative_prompt: str = "",
) -> Prompts:
    """Encode prompts; an InvalidRequest tells which one the model cannot find the subject in.

    Prompts that are not `personal` name the subject by its class noun alone. Guidance leads away from the negative one.
    """
    words = (subject.token, subject.class_noun) if personal else (subject.class_noun,)
    try:
        wanted = [sdxl.token_positions(model, prompt, words) for prompt in prompts]
    except ValueError as error:
        raise InvalidRequest(str(error)) from error
    content = [len(sdxl.content_tokens(model, prompt)) for prompt in prompts]
    cond = sdxl.encode_prompt(model, prompts, size=size)
    _, rows, columns = model.latent_shape(size)
    return Prompts(
        cond,
        sdxl.encode_prompt(model, [negative_prompt], size=size).expand(len(prompts)),
        Tokens.of(wanted, content, cond.prompt_embeds.shape[1]),
        (rows, columns),
    )


@dataclass(frozen=True)
class Branch:
    """The network under one branch's prompts: `denoise` for its answer, `attend` for where it saw the subject, too."""

    denoise: Denoiser
    attend: Callable[[Latents, int], tuple[Latents, AttentionMap]]
    counter: EvaluationCounter


@contextmanager
def recording_denoiser(
    model: BaseModel,
    prompts: Prompts,
    guidance_scale: float,
    *,
    attention_tokens: int,
    refine: int,
    base_weights: BaseWeights | None = None,
    guide_from_base: bool = False,
) -> Iterator[Branch]:
    """The network under these prompts, watched while inside. `untuned` is the way to the base model, from whose
    unconditional answer guidance starts if it shall, where a prior is on."""
    counter = EvaluationCounter()

    def denoiser(conditioning: Conditioning) -> Denoiser:
        return counted(sdxl.denoiser(model, conditioning), counter)

    with record_attention(
        model.unet,
        prompts.tokens,
        latent_size=prompts.latent_size,
        attention_tokens=attention_tokens,
        refine=refine,
    ) as store:
        denoise = guided(denoiser, prompts.cond, prompts.uncond, guidance_scale)
        if guide_from_base and base_weights and guidance_scale != 1:
            start = _unseen(_without_prior(denoiser(prompts.uncond), base_weights), store)
            denoise = guided_from(start, denoiser(prompts.cond), guidance_scale)

        def attend(x_t: Latents, t: int) -> tuple[Latents, AttentionMap]:
            return denoise(x_t, t), store.pop()

        yield Branch(_unseen(denoise, store), attend, counter)


def _without_prior(denoiser: Denoiser, base_weights: BaseWeights) -> Denoiser:
    """The base model's answer."""

    def denoise(x_t: Latents, t: int) -> Latents:
        with base_weights():
            return denoiser(x_t, t)

    return denoise


def _unseen(denoiser: Denoiser, store: AttentionStore) -> Denoiser:
    """The same answer, of which no attention is kept."""

    def denoise(x_t: Latents, t: int) -> Latents:
        with store.paused():
            return denoiser(x_t, t)

    return denoise
