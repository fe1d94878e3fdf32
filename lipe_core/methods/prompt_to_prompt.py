"""Prompt-to-prompt with LocalBlend: attention maps of the source in the target (https://arxiv.org/abs/2208.01626).

For the first steps, the target's cross-attention maps of the words that both prompts share are the source's
(section 3.2: a word for a word is a swap, words that come in are a new phrase), and so are its self-attention maps
for fewer steps. LocalBlend keeps the source's latents wherever neither branch sees the edited words. A real picture
comes in by DDIM inversion (section 4, "real image editing", which is where the paper brings in the mask too); the
stored inversion is the source branch, so that the kept latents are exactly the picture's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Interval
from einops import rearrange
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from lipe_core import sdxl
from lipe_core.adapters.prior import Prior
from lipe_core.diffusion.ddim import OnStep, Trajectory, ddim_step, no_progress
from lipe_core.diffusion.schedule import NoiseSchedule
from lipe_core.masks import mask_ops
from lipe_core.masks.mask_ops import blend
from lipe_core.masks.recording import Branch, Prompts, recording_denoiser
from lipe_core.methods.request import Edit, EditRequest
from lipe_core.methods.session import EditSession
from lipe_core.sdxl import BaseModel, Processor, Tokens, use_processors
from lipe_core.settings import GuidanceScale, Level, Share, Steps, check_settings
from lipe_core.shapes import Latents, Mask


@dataclass(frozen=True)
class PromptToPromptConfig:
    """Settings of prompt-to-prompt with LocalBlend, as in the authors' code. Times are fractions of the steps."""

    seeded: ClassVar[bool] = False

    steps: Steps = 50
    """Denoising steps. More steps are slower and more exact."""

    guidance_scale: GuidanceScale = 7.5
    """Strength of classifier-free guidance towards the target prompt; 1 means none."""

    cross_replace: Share = 0.8
    """Share of the steps during which the cross-attention maps come from the source. Lower it for a larger change."""

    self_replace: Share = 0.4
    """Share of the steps during which the self-attention maps come from the source. Lower it for a change of shape."""

    self_tokens: Annotated[int, Interval(ge=0)] = 1024
    """Largest number of queries of the self-attention layers that take the source's maps (1024 = 32 x 32)."""

    blend_words: Literal["subject", "changed"] = "subject"
    """The words whose maps make the mask: those of the subject, or those that differ between the prompts."""

    blend_start: Share = 0.2
    """Share of the steps after which the latents outside the mask are taken from the source."""

    threshold: Level = 0.3
    """Level of the normalized map above which a pixel may change; `otsu` chooses it for each image."""

    dilation: Annotated[float, Interval(ge=0, le=0.5)] = 1 / 16
    """Radius by which the mask grows, as a fraction of the shorter side. The default is one cell of the paper's
    16 x 16 maps."""

    attention_tokens: Annotated[int, Interval(ge=1)] = 256
    """Smallest number of queries of the attention layers whose maps are recorded. The coarsest level with at least as
    many is used; raise it for finer maps."""

    def __post_init__(self) -> None:
        check_settings(self)


def edit(
    model: BaseModel,
    request: EditRequest,
    config: PromptToPromptConfig = PromptToPromptConfig(),
    *,
    prior: Prior | None = None,
    on_step: OnStep = no_progress,
) -> list[Edit]:
    """One edit for each target prompt; all share one source branch. The request's own mask wins over the maps."""
    session = EditSession.of(model, request, prior, seeded=False)
    timesteps = model.schedule.timesteps(config.steps)
    branches = 1 + len(session.rows)
    with session.with_prior():
        trajectory = session.invert(timesteps, lambda step, steps: on_step(step, 2 * steps))
        ids = [sdxl.content_tokens(model, prompt) for prompt in (session.source_prompt, *session.target_prompts)]
        prompts = session.encode([session.source_prompt, *session.target_prompts])
        control = Control(Alignment.of(ids[0], ids[1:], prompts.tokens.wanted.shape[1]), config.self_tokens)
        with (
            session.clock.stage("editing"),
            take_maps(model.unet, control),
            recording_denoiser(
                model, _watched(prompts, control.alignment, config), config.guidance_scale,
                attention_tokens=config.attention_tokens, refine=0,
            ) as branch,
        ):  # fmt: skip
            x_0, source_mask, edit_mask = edit_latents(
                branch, control, model.schedule, trajectory, session.user_mask(), config,
                lambda step, steps: on_step(steps + step, 2 * steps),
            )  # fmt: skip
    # the source branch counts in full for each edit, as the inversion does
    evaluations = session.inversion.evaluations + 2 * branch.counter.evaluations // branches
    return session.edits(x_0, config, evaluations, source_mask=source_mask, edit_mask=edit_mask)


@dataclass(frozen=True)
class Alignment:
    """For each token of each target prompt: whether the source has it too (`shared`), and where (`index`).

    `new` are the words of the target that the source lacks, `old` the source's that the first target lacks.
    """

    index: Tensor  # "b n", integers
    shared: Tensor  # "b n", booleans
    new: Tensor  # "b n", booleans
    old: Tensor  # "1 n", booleans

    @classmethod
    def of(cls, source: list[int], targets: list[list[int]], length: int) -> "Alignment":
        """From the prompts' token ids. As many words in the place of as many are a replacement: their maps are
        handed on one by one. Start, end and padding have counterparts too."""
        index = torch.zeros(len(targets), length, dtype=torch.long)
        shared = torch.ones(len(targets), length, dtype=torch.bool)
        new = torch.zeros(len(targets), length, dtype=torch.bool)
        old = torch.zeros(1, length, dtype=torch.bool)
        for row, target in enumerate(targets):
            end = 1 + len(target)
            index[row, end:] = (torch.arange(length - end) + 1 + len(source)).clamp(max=length - 1)
            for kind, i, i_end, j, j_end in SequenceMatcher(None, source, target, autojunk=False).get_opcodes():
                if kind == "equal" or (kind == "replace" and i_end - i == j_end - j):
                    index[row, 1 + j : 1 + j_end] = torch.arange(1 + i, 1 + i_end)
                else:
                    shared[row, 1 + j : 1 + j_end] = False
                if kind != "equal":
                    new[row, 1 + j : 1 + j_end] = True
                    old[0, 1 + i : 1 + i_end] = True
        return cls(index, shared, new, old)


@dataclass
class Control:
    """Which maps the targets take from the source at the present step. The last rows of a batch are the source
    and, after it, the targets; their unconditional halves stay their own."""

    alignment: Alignment
    self_tokens: int
    cross: bool = False
    own: bool = False


def edit_latents(
    branch: Branch,
    control: Control,
    schedule: NoiseSchedule,
    trajectory: Trajectory,
    user_mask: Mask | None,
    config: PromptToPromptConfig,
    on_step: OnStep,
) -> tuple[Latents, Mask, Mask]:
    """Denoise the targets beside the source. Returns the clean latents, the source's masks and the last blend's."""
    x_t = trajectory.x_T.expand(len(control.alignment.index), -1, -1, -1)
    grid = trajectory.timesteps.tolist()
    seen: list[Mask] = []
    source_mask = edit_mask = torch.ones_like(x_t[:, :1])
    for step, (t, s) in enumerate(pairwise(reversed(grid)), start=1):
        progress = (step - 1) / (len(grid) - 1)
        control.cross, control.own = progress < config.cross_replace, progress < config.self_replace
        eps, maps = branch.attend(torch.cat([trajectory.at(t), x_t]), t)
        x_t = ddim_step(schedule, x_t, eps[1:], t, s)
        seen.append(mask_ops.resize(maps, (x_t.shape[2], x_t.shape[3])))
        found = mask_ops.subject_mask(
            torch.stack(seen).mean(dim=0), threshold=config.threshold, dilation=config.dilation
        )
        source_mask = found[:1].expand_as(edit_mask) if user_mask is None else user_mask
        if progress >= config.blend_start:
            edit_mask = mask_ops.union(source_mask, found[1:]) if user_mask is None else user_mask
            x_t = blend(x_t, trajectory.at(s).expand_as(x_t), edit_mask)
        on_step(step, len(grid) - 1)
    return x_t, source_mask, edit_mask


@contextmanager
def take_maps(unet: Any, control: Control) -> Iterator[None]:
    """Every layer's attention under `control` while inside."""
    with use_processors(unet, lambda name, old: MapTaker(old, control, ".attn2." in name)):
        yield


@dataclass(frozen=True)
class MapTaker:
    """A processor whose targets' answers are made from the source's attention maps and their own values."""

    inner: Processor
    control: Control
    is_cross: bool

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        answer = self.inner(attn, hidden_states, encoder_hidden_states, attention_mask, **kwargs)
        rows = len(self.control.alignment.index)
        source, targets = hidden_states[-rows - 1 : -rows], hidden_states[-rows:]
        if self.is_cross and self.control.cross and encoder_hidden_states is not None:
            text = encoder_hidden_states[-rows - 1 :]
            taken = _mixed(attn, source, targets, text, self.control.alignment)
        elif not self.is_cross and self.control.own and source.shape[1] <= self.control.self_tokens:
            query, key = (_heads(project(source), attn).expand(rows, -1, -1, -1) for project in (attn.to_q, attn.to_k))
            taken = scaled_dot_product_attention(query, key, _heads(attn.to_v(targets), attn), scale=attn.scale)
        else:
            return answer
        joined = attn.to_out[0](rearrange(taken, "b head q d -> b q (head d)"))
        return torch.cat([answer[:-rows], joined])


def _mixed(attn: Any, source: Tensor, targets: Tensor, text: Tensor, alignment: Alignment) -> Tensor:
    """The targets' cross-attention with the source's columns where a word is shared; not normalised anew, so that
    a new word adds to the picture instead of thinning out the others."""
    queries = _heads(attn.to_q(torch.cat([source, targets])), attn)
    logits = queries @ _heads(attn.to_k(text), attn).transpose(-1, -2) * attn.scale
    maps = logits.float().softmax(dim=-1)
    index = rearrange(alignment.index.to(maps.device), "b n -> b 1 1 n").expand_as(maps[1:])
    shared = rearrange(alignment.shared.to(maps.device), "b n -> b 1 1 n")
    mixed = torch.where(shared, maps[:1].expand_as(maps[1:]).gather(-1, index), maps[1:])
    return mixed.to(targets) @ _heads(attn.to_v(text[1:]), attn)


def _heads(projected: Tensor, attn: Any) -> Tensor:
    return rearrange(projected, "b q (head d) -> b head q d", head=attn.heads)


def _watched(prompts: Prompts, alignment: Alignment, config: PromptToPromptConfig) -> Prompts:
    """The prompts with the words to blend by: a prompt in which nothing differs keeps the subject."""
    if config.blend_words == "subject":
        return prompts
    changed = torch.cat([alignment.old, alignment.new])
    wanted = torch.where(changed.any(dim=1, keepdim=True), changed, prompts.tokens.wanted)
    return Prompts(prompts.cond, prompts.uncond, Tokens(wanted, prompts.tokens.content), prompts.latent_size)
