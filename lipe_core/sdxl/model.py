"""The base model: a checkpoint of SDXL's classes behind the interface of all backbones."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DDIMScheduler, StableDiffusionXLPipeline

from lipe_core.backbone import Tokens, TokenTable, Visit
from lipe_core.checkpoint.fingerprint import fingerprint
from lipe_core.checkpoint.layout import is_hub_id
from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.diffusion.ddim import Denoiser, OnStep, Trajectory, invert, no_progress
from lipe_core.diffusion.schedule import NoiseSchedule
from lipe_core.errors import InvalidModel
from lipe_core.sdxl import attention, images, text
from lipe_core.sdxl.base_model import Networks, denoiser, predict
from lipe_core.sdxl.components import check_folder, load_components
from lipe_core.sdxl.lora_names import lora_names
from lipe_core.shapes import Latents, Pixels, RowTimesteps, Size, Timesteps


@dataclass(frozen=True)
class BaseModel(Networks):
    """A loaded checkpoint of Stable Diffusion XL's classes."""

    def fit_gpu(self, card_bytes: int) -> None:
        """Let the VAE take one image at once, and tiles of an image on a GPU with little memory."""
        images.fit_gpu(self, card_bytes)

    def native_shape(self, size: Size) -> Size:
        """The bucket for an image of this size."""
        return images.native_shape(self, size)

    def encode_pixels(self, pixels: Pixels) -> Latents:
        """Latents of pixels in [-1, 1]: the VAE's mean, normalized, float32. Gradients flow."""
        return images.encode_pixels(self, pixels)

    def decode_pixels(self, latents: Latents) -> Pixels:
        """Pixels of latents, float32, in about [-1, 1], not clipped. Gradients flow."""
        return images.decode_pixels(self, latents)

    def enable_tiling(self) -> None:
        """Let the VAE work on tiles of half the native side."""
        images.enable_tiling(self)

    def tiled(self) -> AbstractContextManager[None]:
        """Context manager in which the VAE works on tiles."""
        return images.tiled(self)

    def encode_prompt(self, prompts: Sequence[str], *, size: Size) -> Conditioning:
        """The prompts' embeddings with the micro-conditioning of an uncropped image of this size."""
        return text.encode_prompt(self, prompts, size=size)

    def text_encoders_ready(self) -> AbstractContextManager[None]:
        """Nothing to do: the text encoders are always on the device."""
        return nullcontext()

    def size_conditioning(self, original: Size, size: Size) -> tuple[float, ...]:
        """The micro-conditioning of an image that was resized and cropped to `size`."""
        return text.size_conditioning(original, size)

    def content_positions(self, prompt: str) -> range:
        """Positions of the prompt's own tokens: they follow start-of-text."""
        return range(1, 1 + len(text.content_tokens(self, prompt)))

    def token_positions(self, prompt: str, words: Sequence[str]) -> tuple[int, ...]:
        """Positions of the tokens of `words` in the encoded prompt."""
        return text.token_positions(self, prompt, words)

    def is_in_vocabulary(self, phrase: str) -> bool:
        """Whether each word of the phrase is one token."""
        return text.is_in_vocabulary(self, phrase)

    def require_length(self, prompt: str) -> None:
        """Raise PromptTooLong for a prompt whose end the text encoders would not read."""
        text.require_length(self, prompt)

    def shortened(self, prompt: str, end: str = "") -> str:
        """The prompt without its last words, so that the text encoders read all of it."""
        return text.shortened(self, prompt, end)

    def timesteps(self, steps: int, size: Size) -> Timesteps:
        """The checkpoint's own grid, which is the same for all sizes."""
        return self.schedule.timesteps(steps)

    def leaning_timesteps(self, steps: int, lean: float, size: Size) -> Timesteps:
        """A grid whose steps are shorter at the noisy end by the factor `lean`."""
        return self.schedule.leaning_timesteps(steps, lean)

    def predict(self, x_t: Latents, t: RowTimesteps, conditioning: Conditioning) -> Latents:
        """The network's prediction (noise or velocity) in float32. Gradients flow."""
        return predict(self, x_t, t, conditioning)

    def denoiser(self, conditioning: Conditioning) -> Denoiser:
        """A denoiser under this conditioning, without gradients. Its calls share the prompts' keys and values."""
        return denoiser(self, conditioning)

    def invert(
        self, denoise: Denoiser, x_0: Latents, timesteps: Timesteps, *, on_step: OnStep = no_progress
    ) -> Trajectory:
        """The trajectory of DDIM inversion, with one evaluation for each step."""
        return invert(denoise, self.schedule, x_0, timesteps, on_step=on_step)

    def record_attention(
        self, tokens: Tokens, *, latent_size: tuple[int, int], attention_tokens: int, refine: int
    ) -> AbstractContextManager[attention.QueriesAndKeys]:
        """Record cross-attention at one level of the network, and self-attention to refine it."""
        return attention.record_attention(
            self.unet, tokens, latent_size=latent_size, attention_tokens=attention_tokens, refine=refine
        )

    def visited_attention(self, share: float, visit: Visit) -> AbstractContextManager[None]:
        """Context manager that calls `visit` in the later self-attention layers."""
        return attention.visited_attention(self.unet, share, visit)

    @property
    def adapter_prefix(self) -> str:
        """The prefix that diffusers writes before the names of the U-Net's layers."""
        return "unet."

    def adapter_targets(self, projections: Sequence[str]) -> list[str]:
        """The projections are layers of their own in self- and cross-attention."""
        return list(projections)

    def is_adaptable(self, layer: str) -> bool:
        """Whether a linear layer is one of the transformer blocks."""
        return ".attentions." in layer

    def is_attention(self, weight: str) -> bool:
        """Whether a weight belongs to self- or cross-attention."""
        return ".attn1." in weight or ".attn2." in weight

    def lora_names(self, layer: str) -> list[str]:
        """The names that kohya's trainer and diffusers give to a layer."""
        return lora_names(layer, int(self.unet.config.layers_per_block))

    @property
    def token_tables(self) -> Mapping[str, TokenTable]:
        """Both text encoders, by the customary names of their vectors.

        diffusers' `load_lora_weights` refuses a file with a name that lacks "lora".
        """
        names = "lora_token.clip_l", "lora_token.clip_g"
        return dict(zip(names, map(TokenTable, self.tokenizers, self.text_encoders), strict=True))


def load(
    checkpoint: str | Path,
    *,
    revision: str | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    hash_cache: Path | None = None,
) -> BaseModel:
    """Check and load a folder, or a repository of the model hub, from safetensors files only.

    `dtype` is the network's; the VAE's is bfloat16 or float32. `hash_cache` is a folder that keeps the hashes of weight
    files. Raises InvalidModel, whose message says what to do.
    """
    is_folder = Path(checkpoint).exists() or not is_hub_id(str(checkpoint))
    folder = Path(checkpoint) if is_folder else _download(str(checkpoint), revision)
    check_folder(folder, str(checkpoint))
    parts = load_components(folder, str(checkpoint), dtype)
    for network in (parts.unet, parts.vae, *parts.text_encoders):
        network.to(device)
    return BaseModel(
        unet=parts.unet,
        vae=parts.vae,
        tokenizers=parts.tokenizers,
        text_encoders=parts.text_encoders,
        schedule=_schedule(parts.scheduler),
        prediction_type=parts.scheduler.config.prediction_type,
        zero_empty_prompt=parts.zero_empty_prompt,
        checkpoint=str(checkpoint),
        revision=revision if is_folder else folder.name,
        fingerprint=fingerprint(folder, hash_cache),
        device=torch.device(device),
        dtype=dtype,
    )


def _download(repository: str, revision: str | None) -> Path:
    """The folder with a snapshot of a repository of the model hub."""
    try:
        return Path(StableDiffusionXLPipeline.download(repository, revision=revision, use_safetensors=True))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InvalidModel(f"the base model {repository} cannot be downloaded: {reason}") from error


def _schedule(scheduler: DDIMScheduler) -> NoiseSchedule:
    table = scheduler.alphas_cumprod.clone()
    table[0] = scheduler.final_alpha_cumprod
    # With zero terminal SNR, alpha would be 0 and divide by 0; diffusers' samplers use the same minimum.
    return NoiseSchedule(table.clamp(min=2**-24), scheduler.config.timestep_spacing, scheduler.config.steps_offset)
