"""What every method beside NIMA does in the same way: a picture to latents, prompts to conditioning, latents to edits.

A network without a prior has never met the subject's token, which to it is a word like any other ("sks" is a
rifle to SDXL). Without a prior the prompts therefore name the class noun alone, as a user of these methods would.
"""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import Any

import torch
from PIL import Image

from lipe_core import sdxl
from lipe_core.adapters.lora import use_adapter
from lipe_core.adapters.prior import Prior
from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.diffusion.ddim import Denoiser, OnStep, Trajectory, invert, no_progress
from lipe_core.diffusion.guidance import EvaluationCounter, counted, guided
from lipe_core.errors import InvalidRequest
from lipe_core.masks import mask_ops
from lipe_core.masks.recording import Prompts, encode_prompts
from lipe_core.methods.request import Edit, EditRequest
from lipe_core.pixels import to_grey, to_mask
from lipe_core.sdxl import BaseModel
from lipe_core.shapes import Latents, Mask, Size, Timesteps


@dataclass
class Clock:
    """Seconds spent in each stage, the device's queue included."""

    device: torch.device
    timings: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside."""
        start = time.perf_counter()
        yield
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.timings[name] = time.perf_counter() - start


@dataclass(frozen=True)
class EditSession:
    """One request on its way through one method; an edit for each of `rows`, (target prompt, seed)."""

    model: BaseModel
    request: EditRequest
    prior: Prior | None
    size: Size
    rows: tuple[tuple[str, int], ...]
    clock: Clock
    inversion: EvaluationCounter = field(default_factory=EvaluationCounter)

    @classmethod
    def of(cls, model: BaseModel, request: EditRequest, prior: Prior | None, *, seeded: bool = True) -> "EditSession":
        """Refuses several seeds where a method draws no noise (not `seeded`): all would give one picture."""
        if not seeded and len(request.seeds) > 1:
            raise InvalidRequest("this method draws no noise: all seeds give one picture, so give one seed")
        rows = tuple(product(request.target_prompts, request.seeds))
        size = sdxl.working_size(model, (request.image.height, request.image.width))
        return cls(model, request, prior, size, rows, Clock(model.device))

    def with_prior(self) -> AbstractContextManager[object]:
        """The prior's adapter on the network while inside, if there is one."""
        return use_adapter(self.model, self.prior) if self.prior else nullcontext()

    @property
    def source_prompt(self) -> str:
        """As the network is told it."""
        return self._worded(self.request.source_prompt)

    @property
    def target_prompts(self) -> list[str]:
        """One for each row, as the network is told it."""
        return [self._worded(prompt) for prompt, _ in self.rows]

    @property
    def named(self) -> str:
        """How the prompts name the subject."""
        return self.request.subject.phrase if self.prior is not None else self.request.subject.class_noun

    @property
    def seeds(self) -> list[int]:
        """One for each row."""
        return [seed for _, seed in self.rows]

    def encode(self, prompts: Sequence[str]) -> Prompts:
        """Prompts that are worded for this network, and where they name the subject."""
        return encode_prompts(self.model, prompts, self.request.subject, self.size, personal=self.prior is not None)

    def x_0(self) -> Latents:
        """The picture's latents, one row."""
        return sdxl.encode_image(self.model, [resized(self.request.image.convert("RGB"), self.size)])

    def user_mask(self) -> Mask | None:
        """The request's own mask over latents, for each row, if it has one; a cell that it touches may change."""
        if self.request.mask is None:
            return None
        _, height, width = self.model.latent_shape(self.size)
        drawn = mask_ops.resize(to_mask(self.request.mask), (height, width)) > 0
        return drawn.float().to(self.model.device).expand(len(self.rows), -1, -1, -1)

    def guided(self, prompts: Prompts, guidance_scale: float, counter: EvaluationCounter) -> Denoiser:
        """The network under these prompts, its evaluations counted."""
        return guided(self.denoiser(counter), prompts.cond, prompts.uncond, guidance_scale)

    def denoiser(self, counter: EvaluationCounter) -> Callable[[Conditioning], Denoiser]:
        """The network under any conditioning, its evaluations counted."""
        return lambda conditioning: counted(sdxl.denoiser(self.model, conditioning), counter)

    def invert(self, timesteps: Timesteps, on_step: OnStep = no_progress) -> Trajectory:
        """The picture's DDIM inversion under the source prompt, without guidance, which would not invert."""
        with self.clock.stage("inverting"):
            denoise = self.guided(self.encode([self.source_prompt]), 1.0, self.inversion)
            return invert(denoise, self.model.schedule, self.x_0(), timesteps, on_step=on_step)

    def edits(
        self,
        x_0: Latents,
        config: Any,
        evaluations: int,
        *,
        source_mask: Mask | None = None,
        edit_mask: Mask | None = None,
    ) -> list[Edit]:
        """The rows' latents as edits of the picture's own size. No mask means that the whole picture may change.

        Nothing of the source's pixels is put back: none of these methods does.
        """
        with self.clock.stage("decoding"):
            painted = sdxl.decode(self.model, x_0)
        return self.painted(painted, config, evaluations, source_mask=source_mask, edit_mask=edit_mask)

    def painted(
        self,
        images: Sequence[Image.Image],
        config: Any,
        evaluations: int,
        *,
        source_mask: Mask | None = None,
        edit_mask: Mask | None = None,
    ) -> list[Edit]:
        """The rows' pictures, of any size, as edits of the picture's own."""
        own_size = (self.request.image.height, self.request.image.width)
        fitted = [resized(image, own_size) for image in images]
        parameters = self._parameters(config)
        return [
            Edit(
                image=image,
                target_prompt=prompt,
                seed=seed,
                source_mask=_grey(source_mask, k, own_size),
                edit_mask=_grey(edit_mask, k, own_size),
                uncomposited=image,
                timings=dict(self.clock.timings),
                evaluations=evaluations,
                parameters=parameters | {"target_prompt": prompt, "seed": seed},
            )
            for k, ((prompt, seed), image) in enumerate(zip(self.rows, fitted, strict=True))
        ]

    def _worded(self, prompt: str) -> str:
        phrase = rf"(?<!\w){re.escape(self.request.subject.phrase)}(?!\w)"
        return re.sub(phrase, lambda _: self.named, prompt, flags=re.IGNORECASE)

    def _parameters(self, config: Any) -> dict[str, Any]:
        return asdict(config) | {
            "checkpoint": self.model.checkpoint,
            "revision": self.model.revision,
            "fingerprint": self.model.fingerprint,
            "source_prompt": self.request.source_prompt,
            "height": self.size[0],
            "width": self.size[1],
        }


def resized(image: Image.Image, size: Size) -> Image.Image:
    """The picture at this size; the very same if it has it."""
    height, width = size
    return image if image.size == (width, height) else image.resize((width, height), Image.Resampling.LANCZOS)


def _grey(mask: Mask | None, row: int, size: Size) -> Image.Image:
    if mask is None:
        return Image.new("L", (size[1], size[0]), 255)
    return to_grey(mask_ops.soft_pixels(mask[row][None], size, 0.0))
