"""The base model: a checkpoint of klein's classes behind the interface of all backbones."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import Flux2KleinPipeline
from PIL import Image

from lipe_core.backbone import Tokens, TokenTable, Visit, bucket
from lipe_core.checkpoint.fingerprint import fingerprint
from lipe_core.checkpoint.flux2_layout import adapter_targets, distilled_warning, is_distilled
from lipe_core.checkpoint.layout import is_hub_id
from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.diffusion.ddim import Denoiser, OnStep, Trajectory, no_progress
from lipe_core.diffusion.flow import FlowSchedule
from lipe_core.diffusion.flow_inversion import invert_flow
from lipe_core.errors import InvalidModel
from lipe_core.flux2 import attention, images, references, text
from lipe_core.flux2.base_model import Networks, predict
from lipe_core.flux2.components import check_folder, load_components
from lipe_core.quantization import weight_bytes
from lipe_core.shapes import ImageLatents, Latents, Pixels, RowTimesteps, Size, Timesteps

log = logging.getLogger(__name__)

_WORK = 16_000_000_000
"""Bytes of a GPU beside the networks, for a job of klein 4B: by arithmetic, not measured (docs/backbones.md)."""


@dataclass(frozen=True)
class BaseModel(Networks):
    """A loaded checkpoint of FLUX.2 [klein]'s classes."""

    def fit_gpu(self, card_bytes: int) -> None:
        """Let the VAE take one image at once. On a small GPU, the text encoder leaves it after the prompts."""
        self.vae.enable_slicing()
        resident = sum(map(weight_bytes, self.networks))
        if resident + _WORK > card_bytes:
            self.text_encoder.to("cpu")

    def native_shape(self, size: Size) -> Size:
        """The bucket for an image of this size."""
        return bucket(size, self.native_size, self.factor)

    def encode_pixels(self, pixels: Pixels) -> Latents:
        """Latents of pixels in [-1, 1]: the VAE's mean in patches, normalized, float32. Gradients flow."""
        return images.encode_pixels(self, pixels)

    def decode_pixels(self, latents: Latents) -> Pixels:
        """Pixels of latents, float32, in about [-1, 1], not clipped. Gradients flow."""
        return images.decode_pixels(self, latents)

    def encode_reference(self, image: Image.Image) -> ImageLatents:
        """The clean latents of an image for `denoiser`, at its own shape and at most the native area; no gradients."""
        return references.encode_reference(self, image)

    def enable_tiling(self) -> None:
        """Let the VAE work on tiles of half the native side."""
        images.enable_tiling(self)

    def tiled(self) -> AbstractContextManager[None]:
        """Context manager in which the VAE works on tiles."""
        return images.tiled(self)

    def encode_prompt(self, prompts: Sequence[str], *, size: Size) -> Conditioning:
        """The prompts' embeddings, which do not depend on the image's size. No gradients."""
        return text.encode_prompt(self, prompts)

    def text_encoders_ready(self) -> AbstractContextManager[None]:
        """Context manager in which the language model is on the device. It returns to where it was."""
        return text.on_device(self)

    def size_conditioning(self, original: Size, size: Size) -> tuple[float, ...]:
        """Nothing: the network takes no sizes."""
        return ()

    def content_positions(self, prompt: str) -> range:
        """Positions of the prompt's own tokens inside the chat template."""
        return text.content_positions(self, prompt)

    def token_positions(self, prompt: str, words: Sequence[str]) -> tuple[int, ...]:
        """Positions of the tokens of `words` in the encoded prompt."""
        return text.token_positions(self, prompt, words)

    def is_in_vocabulary(self, phrase: str) -> bool:
        """Whether each word of the phrase is one token."""
        return text.is_in_vocabulary(self, phrase)

    def require_length(self, prompt: str) -> None:
        """Raise PromptTooLong for a prompt whose end the text encoder would not read."""
        text.require_length(self, prompt)

    def shortened(self, prompt: str, end: str = "") -> str:
        """The prompt without its last words, so that the text encoder reads all of it."""
        return text.shortened(self, prompt, end)

    def timesteps(self, steps: int, size: Size) -> Timesteps:
        """The pipeline's grid, which leans towards noise by the number of image tokens."""
        _, rows, columns = self.latent_shape(size)
        return self.schedule.timesteps(steps, rows * columns)

    def leaning_timesteps(self, steps: int, lean: float, size: Size) -> Timesteps:
        """The pipeline's grid: up to 100 steps, it leans by more than a factor of 3."""
        return self.timesteps(steps, size)

    def predict(self, x_t: Latents, t: RowTimesteps, conditioning: Conditioning) -> Latents:
        """The velocity in float32. Gradients flow."""
        return predict(self, x_t, t, conditioning)

    def denoiser(self, conditioning: Conditioning, images: Sequence[ImageLatents] = ()) -> Denoiser:
        """A denoiser under this conditioning, without gradients. Its eps is float64, as `FlowSchedule` needs it.

        The network reads `images`, clean latents of one row each, as further tokens beside the target.
        """
        conditioning = conditioning.to(self.device, self.dtype)
        beside = references.beside(images) if images else None

        @torch.no_grad()
        def denoise(x_t: Latents, t: int) -> Latents:
            at = torch.full((len(x_t),), t, device=x_t.device)
            velocity = predict(self, x_t, at, conditioning, beside)
            return self.schedule.to_eps(velocity, x_t.double(), at, self.prediction_type)

        return denoise

    def invert(
        self, denoise: Denoiser, x_0: Latents, timesteps: Timesteps, *, on_step: OnStep = no_progress
    ) -> Trajectory:
        """The trajectory by predictor and corrector, with one evaluation more than there are steps."""
        return invert_flow(denoise, self.schedule, x_0, timesteps, on_step=on_step)

    def record_attention(
        self, tokens: Tokens, *, latent_size: tuple[int, int], attention_tokens: int, refine: int
    ) -> AbstractContextManager[attention.QueriesAndKeys]:
        """Record the attention of all image tokens in the later double-stream blocks: there is one level."""
        return attention.record_attention(self.transformer, tokens, latent_size=latent_size, refine=refine)

    def visited_attention(self, share: float, visit: Visit) -> AbstractContextManager[None]:
        """Context manager that calls `visit` in the later single-stream blocks."""
        return attention.visited_attention(self.transformer, share, visit, text.text_length(self.tokenizer))

    @property
    def adapter_prefix(self) -> str:
        """The prefix that diffusers writes before the names of the transformer's layers."""
        return "transformer."

    def adapter_targets(self, projections: Sequence[str]) -> list[str]:
        """The projections in double-stream blocks, and the fused layers that contain them in single-stream blocks."""
        return adapter_targets(projections, len(self.transformer.single_transformer_blocks))

    def is_adaptable(self, layer: str) -> bool:
        """Whether a linear layer is one of the transformer blocks."""
        return "transformer_blocks." in layer

    def is_attention(self, weight: str) -> bool:
        """Whether a weight belongs to an attention layer; in single-stream blocks, this includes the MLP."""
        return "transformer_blocks." in weight and ".attn." in weight

    def lora_names(self, layer: str) -> list[str]:
        """The names that diffusers and peft give to a layer."""
        return [layer, f"transformer.{layer}", f"base_model.model.{layer}"]

    @property
    def token_tables(self) -> Mapping[str, TokenTable]:
        """None: a prompt would pass through 4 billion parameters, and back, in each step of a training."""
        return {}


def load(
    checkpoint: str | Path,
    *,
    revision: str | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    hash_cache: Path | None = None,
    allow_distilled: bool = False,
) -> BaseModel:
    """Check and load a folder, or a repository of the model hub, from safetensors files only.

    `dtype` is the network's; the VAE's is bfloat16 or float32. `hash_cache` is a folder that keeps the hashes of weight
    files. With `allow_distilled`, a distilled klein is loaded, and the log warns of it. Raises InvalidModel, whose
    message says what to do.
    """
    is_folder = Path(checkpoint).exists() or not is_hub_id(str(checkpoint))
    folder = Path(checkpoint) if is_folder else _download(str(checkpoint), revision)
    check_folder(folder, str(checkpoint), allow_distilled=allow_distilled)
    if is_distilled(str(folder)):
        log.warning("%s", distilled_warning(str(checkpoint)))
    parts = load_components(folder, str(checkpoint), dtype)
    for network in (parts.transformer, parts.vae, parts.text_encoder):
        network.to(device)
    return BaseModel(
        transformer=parts.transformer,
        vae=parts.vae,
        tokenizer=parts.tokenizer,
        text_encoder=parts.text_encoder,
        schedule=FlowSchedule(),
        prediction_type="flow",
        checkpoint=str(checkpoint),
        revision=revision if is_folder else folder.name,
        fingerprint=fingerprint(folder, hash_cache),
        device=torch.device(device),
        dtype=dtype,
    )


def _download(repository: str, revision: str | None) -> Path:
    """The folder with a snapshot of a repository of the model hub."""
    try:
        return Path(Flux2KleinPipeline.download(repository, revision=revision, use_safetensors=True))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InvalidModel(f"the base model {repository} cannot be downloaded: {reason}") from error
