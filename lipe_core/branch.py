"""The network under one branch's prompts, source or target, watched for where it sees the subject."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from lipe_core import sdxl, text
from lipe_core.attention import AttentionStore, Tokens, record_attention
from lipe_core.conditioning import Conditioning
from lipe_core.ddim import Denoiser
from lipe_core.editor import InvalidRequest
from lipe_core.full_attention import Untuned
from lipe_core.guidance import Tally, counted, guided, guided_from
from lipe_core.sdxl import BaseModel, Size
from lipe_core.shapes import AttentionMap, Latents
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
        wanted = [text.token_positions(model, prompt, words) for prompt in prompts]
    except ValueError as error:
        raise InvalidRequest(str(error)) from error
    content = [len(text.content_tokens(model, prompt)) for prompt in prompts]
    cond = text.encode_prompt(model, prompts, size=size)
    _, rows, columns = model.latent_shape(size)
    return Prompts(
        cond,
        text.encode_prompt(model, [negative_prompt], size=size).expand(len(prompts)),
        Tokens.of(wanted, content, cond.prompt_embeds.shape[1]),
        (rows, columns),
    )


@dataclass(frozen=True)
class Branch:
    """The network under one branch's prompts: `denoise` for its answer, `attend` for where it saw the subject, too."""

    denoise: Denoiser
    attend: Callable[[Latents, int], tuple[Latents, AttentionMap]]
    tally: Tally


@contextmanager
def attending(
    model: BaseModel,
    prompts: Prompts,
    guidance_scale: float,
    *,
    attention_tokens: int,
    refine: int,
    untuned: Untuned | None = None,
    guide_from_base: bool = False,
) -> Iterator[Branch]:
    """The network under these prompts, watched while inside. `untuned` is the way to the base model, from whose
    unconditional answer guidance starts if it shall, where a prior is on."""
    tally = Tally()

    def denoiser(conditioning: Conditioning) -> Denoiser:
        return counted(sdxl.denoiser(model, conditioning), tally)

    with record_attention(
        model.unet,
        prompts.tokens,
        latent_size=prompts.latent_size,
        attention_tokens=attention_tokens,
        refine=refine,
    ) as store:
        denoise = guided(denoiser, prompts.cond, prompts.uncond, guidance_scale)
        if guide_from_base and untuned and guidance_scale != 1:
            start = _unseen(_without_prior(denoiser(prompts.uncond), untuned), store)
            denoise = guided_from(start, denoiser(prompts.cond), guidance_scale)

        def attend(x_t: Latents, t: int) -> tuple[Latents, AttentionMap]:
            return denoise(x_t, t), store.pop()

        yield Branch(_unseen(denoise, store), attend, tally)


def _without_prior(denoiser: Denoiser, untuned: Untuned) -> Denoiser:
    """The base model's answer."""

    def denoise(x_t: Latents, t: int) -> Latents:
        with untuned():
            return denoiser(x_t, t)

    return denoise


def _unseen(denoiser: Denoiser, store: AttentionStore) -> Denoiser:
    """The same answer, of which no attention is kept."""

    def denoise(x_t: Latents, t: int) -> Latents:
        with store.paused():
            return denoiser(x_t, t)

    return denoise
