"""The steps that all methods share: encode image and prompts, invert, decode, time the stages, build the edits.

A network without a prior has not learned the subject's token, and reads it as any other word ("sks" is a rifle to
SDXL). Without a prior, prompts therefore name the class noun alone, unless a method keeps the token.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import product
from typing import Any

import torch
from PIL import Image

from lipe_core import backbone
from lipe_core.adapters.full_attention import BaseWeights
from lipe_core.adapters.lora import use_adapter
from lipe_core.adapters.prior import Prior
from lipe_core.backbone import BaseModel, PromptCache
from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.diffusion.ddim import Denoiser, OnStep, Trajectory, no_progress
from lipe_core.diffusion.guidance import EvaluationCounter, counted, guided
from lipe_core.errors import InvalidRequest
from lipe_core.grain import add_grain
from lipe_core.masks import mask_ops
from lipe_core.masks.mask_images import soft_mask_image
from lipe_core.masks.recording import Prompts, encode_prompts
from lipe_core.methods import crop
from lipe_core.methods.clock import Clock
from lipe_core.methods.crop import Box
from lipe_core.methods.request import Edit, EditRequest, MakeImage
from lipe_core.pixels import resized, to_mask, to_pixels, to_rgb
from lipe_core.shapes import Latents, Mask, PixelMask, Pixels, Size, Timesteps

Network = Callable[[Conditioning], Denoiser]
"""The network under any conditioning."""


@dataclass(frozen=True)
class EditSession:
    """One request that one method works on. `rows` are its (target prompt, seed) pairs; each becomes an edit.

    `crop` is the part of the image that is edited, and `size` the (height, width) at which the network works on it.
    """

    model: BaseModel
    request: EditRequest
    prior: Prior | None
    crop: Box
    size: Size
    rows: tuple[tuple[str, int], ...]
    names_token: bool
    clock: Clock
    cache: PromptCache
    inversion: EvaluationCounter = field(default_factory=EvaluationCounter)

    @classmethod
    def of(
        cls,
        model: BaseModel,
        request: EditRequest,
        prior: Prior | None,
        *,
        seeded: bool = True,
        keeps_token: bool = False,
    ) -> "EditSession":
        """Open a session. With `keeps_token`, prompts name the token even without a prior.

        Raises InvalidRequest for several seeds if the method draws no noise (not `seeded`): all would give one image.
        """
        if not seeded and len(request.seeds) > 1:
            raise InvalidRequest("this method draws no noise: all seeds give one image, so give one seed")
        rows = tuple(product(request.target_prompts, request.seeds))
        part = crop.whole((request.image.height, request.image.width))
        size = model.native_shape(part.size)
        names_token, clock = keeps_token or prior is not None, Clock(model.device)
        return cls(model, request, prior, part, size, rows, names_token, clock, PromptCache(model))

    def cropped(self, part: Box) -> "EditSession":
        """The same session on another part of the image."""
        return replace(self, crop=part, size=self.model.native_shape(part.size))

    def part(self, rows: range) -> "EditSession":
        """The same session for some of its rows."""
        return replace(self, rows=self.rows[rows.start : rows.stop])

    def with_prior(self) -> AbstractContextManager[BaseWeights | None]:
        """Context manager that applies the prior, if there is one, and yields the way to disable it for a moment."""
        return use_adapter(self.model, self.prior) if self.prior else nullcontext()

    @property
    def source_prompt(self) -> str:
        """The source prompt as the network reads it."""
        return self._worded(self.request.source_prompt)

    @property
    def target_prompts(self) -> list[str]:
        """The target prompt of each row as the network reads it."""
        return [self._worded(prompt) for prompt, _ in self.rows]

    @property
    def subject_phrase(self) -> str:
        """The subject's name in the prompts that the network reads."""
        return self.request.subject.phrase if self.names_token else self.request.subject.class_noun

    @property
    def seeds(self) -> list[int]:
        """The seed of each row."""
        return [seed for _, seed in self.rows]

    @property
    def source_and_negative_prompt(self) -> str:
        """Both texts as one, for guidance that leads away from either."""
        return ", ".join(filter(None, [self.source_prompt, self.request.negative_prompt]))

    def encode(self, prompts: Sequence[str], *, negative_prompt: str | None = None) -> Prompts:
        """Encode prompts such as `source_prompt`, to which guidance leads, by default from the request's negative."""
        return encode_prompts(
            self.model,
            prompts,
            self.request.subject,
            self.size,
            names_token=self.names_token,
            negative_prompt=self.request.negative_prompt if negative_prompt is None else negative_prompt,
            cache=self.cache,
        )

    def pixels(self) -> Pixels:
        """The image at the size that the network works at, one row."""
        return to_pixels([self._working_image()]).to(self.model.device)

    def x_0(self) -> Latents:
        """The image's latents, one row."""
        return backbone.encode_image(self.model, [self._working_image()])

    def user_silhouette(self) -> PixelMask | None:
        """The request's own mask at the size that the network works at, one row, or None."""
        if self.request.mask is None:
            return None
        mask = mask_ops.resize(to_mask(self.crop.cut(self.request.mask)), self.size) > 0
        return mask.float().to(self.model.device)

    def user_mask(self) -> Mask | None:
        """The request's own mask over the latents of each row, or None. A latent that the mask touches may change."""
        silhouette = self.user_silhouette()
        if silhouette is None:
            return None
        _, height, width = self.model.latent_shape(self.size)
        return self.for_rows((mask_ops.resize(silhouette, (height, width)) > 0).float())

    def for_rows(self, single: torch.Tensor) -> torch.Tensor:
        """Expand a tensor of one row to all rows of the session."""
        return single.expand(len(self.rows), -1, -1, -1)

    def guided(self, prompts: Prompts, scale: float, counter: EvaluationCounter) -> Denoiser:
        """The network under these prompts, with its evaluations counted."""
        return guided(self.denoiser(counter), prompts.cond, prompts.uncond, scale)

    def denoiser(self, counter: EvaluationCounter, network: Network | None = None) -> Network:
        """The network, by default that of the model, with its evaluations counted."""
        network = network or self.model.denoiser
        return lambda conditioning: counted(network(conditioning), counter)

    def invert(self, timesteps: Timesteps, on_step: OnStep = no_progress, network: Network | None = None) -> Trajectory:
        """Invert the image under the source prompt. There is no guidance, because it does not invert."""
        with self.clock.stage("inverting"):
            prompts = self.encode([self.source_prompt], negative_prompt=self.source_prompt)
            denoise = self.denoiser(self.inversion, network)(prompts.cond)
            return self.model.invert(denoise, self.x_0(), timesteps, on_step=on_step)

    def decode(self, x_0: Latents) -> list[Image.Image]:
        """Decode latents to images."""
        with self.clock.stage("decoding"):
            return backbone.decode(self.model, x_0)

    def mask_images(self, masks: Mask | PixelMask, feather: float = 0.0) -> list[MakeImage]:
        """Masks as greyscale images of the request's size, with soft edges as wide as `feather`, in the user's mask."""
        bounds = None if self.request.mask is None else self.crop.cut(self.request.mask)
        make = partial(soft_mask_image, size=self.crop.size, radius=feather, bounds=bounds)
        return [self.in_place(partial(make, row)) for row in masks.cpu()[:, None]]

    def in_place(self, make_mask: MakeImage) -> MakeImage:
        """A mask of the crop as a mask of the request's image: black around the crop."""
        return lambda: self.crop.paste(make_mask(), Image.new("L", self.request.image.size))

    def edits(
        self,
        images: Sequence[Image.Image],
        config: Any,
        evaluations: int,
        *,
        source_masks: Sequence[MakeImage] | None = None,
        edit_masks: Sequence[MakeImage] | None = None,
        composite: bool = False,
    ) -> list[Edit]:
        """Build the edits of all rows from their images, which may have any size.

        Without masks, the whole image may change. With `composite`, the source's own pixels return outside the edit
        mask.
        """
        everywhere = [partial(Image.new, "L", self.request.image.size, 255)] * len(self.rows)
        source, parameters = to_rgb(self.request.image), self._parameters(config)
        return [
            Edit(
                target_prompt=prompt,
                seed=seed,
                make_uncomposited=partial(self._finished, image, grain=composite),
                make_source_mask=source_mask,
                make_edit_mask=edit_mask,
                source=source if composite else None,
                timings=dict(self.clock.timings),
                evaluations=evaluations,
                parameters=parameters | {"target_prompt": prompt, "seed": seed},
            )
            for (prompt, seed), image, source_mask, edit_mask in zip(
                self.rows, images, source_masks or everywhere, edit_masks or everywhere, strict=True
            )
        ]

    def _working_image(self) -> Image.Image:
        return resized(self._part(), self.size)

    def _part(self) -> Image.Image:
        """The part of the image that is edited, at its own size."""
        return to_rgb(self.crop.cut(self.request.image))

    def _finished(self, image: Image.Image, *, grain: bool) -> Image.Image:
        """A decoded image in its place in the request's image, with the photo's grain if it borders on the photo."""
        part = resized(image, self.crop.size)
        if grain:
            part = add_grain(part, self._part(), self.size)
        return self.crop.paste(part, to_rgb(self.request.image))

    def _worded(self, prompt: str) -> str:
        phrase = rf"(?<!\w){re.escape(self.request.subject.phrase)}(?!\w)"
        return re.sub(phrase, lambda _: self.subject_phrase, prompt, flags=re.IGNORECASE)

    def _parameters(self, config: Any) -> dict[str, Any]:
        return asdict(config) | {
            "checkpoint": self.model.checkpoint,
            "revision": self.model.revision,
            "fingerprint": self.model.fingerprint,
            "source_prompt": self.request.source_prompt,
            "crop_box": self.crop._asdict(),
            "height": self.size[0],
            "width": self.size[1],
        }
