"""The network under one branch's prompts, source or target, watched for where it sees the subject."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from lipe_core import sdxl
from lipe_core.attention import AttentionStore, Tokens, record_attention
from lipe_core.conditioning import Conditioning
from lipe_core.ddim import Denoiser
from lipe_core.editor import InvalidRequest
from lipe_core.full_attention import Untuned
from lipe_core.guidance import Tally, counted, guided, guided_from
from lipe_core.sdxl import BaseModel, Size
from lipe_core.shapes import Latents, Mask
from lipe_core.subject import Subject


@dataclass(frozen=True)
class Prompts:
    """One branch's prompts as the network takes them, and where in them the subject is named."""

    cond: Conditioning
    uncond: Conditioning
    tokens: Tokens
    latent_size: tuple[int, int]


def encode_prompts(
    model: BaseModel, prompts: Sequence[str], subject: Subject, size: Size, *, personal: bool = True
) -> Prompts:
    """Encode prompts; an InvalidRequest tells which one the model cannot find the subject in.

    Prompts that are not `personal` name the subject by its class noun alone.
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
        sdxl.encode_prompt(model, [""] * len(prompts), size=size),
        Tokens.of(wanted, content, cond.prompt_embeds.shape[1]),
        (rows, columns),
    )


@dataclass(frozen=True)
class Branch:
    """The network under one branch's prompts: `denoise`, then `pop_map` for where it saw the subject."""

    denoise: Denoiser
    pop_map: Callable[[], Mask]
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
) -> Iterator[Branch]:
    """The network under these prompts, watched while inside. With `untuned`, guidance starts from the base model."""
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
        if untuned is None or guidance_scale == 1:
            denoise = guided(denoiser, prompts.cond, prompts.uncond, guidance_scale)
        else:
            base = _unseen(denoiser(prompts.uncond), untuned, store)
            denoise = guided_from(base, denoiser(prompts.cond), guidance_scale)
        yield Branch(denoise, store.pop, tally)


def _unseen(denoiser: Denoiser, untuned: Untuned, store: AttentionStore) -> Denoiser:
    """The base model's answer, of which no attention is kept."""

    def denoise(x_t: Latents, t: int) -> Latents:
        with untuned(), store.paused():
            return denoiser(x_t, t)

    return denoise
