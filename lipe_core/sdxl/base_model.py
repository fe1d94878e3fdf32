"""The base model: any checkpoint of Stable Diffusion XL's classes and folder layout, of any size.

https://arxiv.org/abs/2307.01952. `components` loads the networks.
"""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from lipe_core.checkpoint.fingerprint import fingerprint
from lipe_core.checkpoint.layout import check_base_model
from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.diffusion.ddim import Denoiser
from lipe_core.diffusion.schedule import NoiseSchedule, PredictionType
from lipe_core.errors import InvalidModel
from lipe_core.graphs import Graphs
from lipe_core.model_card import model_name
from lipe_core.sdxl.components import check_folder, load_components
from lipe_core.sdxl.prompt_projections import PromptProjections
from lipe_core.shapes import Latents, RowTimesteps, Size

FAMILY = "sdxl"
"""The family of the checkpoints that this package loads."""


@dataclass(frozen=True)
class BaseModel:
    """A loaded checkpoint. `fingerprint` is the SHA-256 over its weight files; a prior fits only one fingerprint.

    With `graphs`, training steps and the loops of an edit are recorded and replayed. Priors are then copied into the
    network's weights, which stay where they are.
    """

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    tokenizers: tuple[CLIPTokenizer, CLIPTokenizer]
    text_encoders: tuple[CLIPTextModel, CLIPTextModelWithProjection]
    schedule: NoiseSchedule
    prediction_type: PredictionType
    zero_empty_prompt: bool
    checkpoint: str
    revision: str | None
    fingerprint: str
    device: torch.device
    dtype: torch.dtype
    graphs: Graphs | None = field(default=None, kw_only=True)

    @property
    def name(self) -> str:
        """The checkpoint's name for users, without its location on this machine."""
        return model_name(self.checkpoint)

    @property
    def factor(self) -> int:
        """Pixels per latent along each side."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def native_size(self) -> int:
        """Side in pixels of the square images that the network was trained on."""
        return int(self.unet.config.sample_size) * self.factor

    def latent_shape(self, size: Size) -> tuple[int, int, int]:
        """(channels, rows, columns) of the latents of images of this size. Raises ValueError for other multiples."""
        height, width = size
        if height % self.factor or width % self.factor:
            raise ValueError(f"image sides must be multiples of {self.factor}, got {height} x {width}")
        return int(self.unet.config.in_channels), height // self.factor, width // self.factor


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
    check_base_model(str(checkpoint))
    is_folder = Path(checkpoint).exists()
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


def predict(model: BaseModel, x_t: Latents, t: RowTimesteps, conditioning: Conditioning) -> Latents:
    """The network's prediction (noise or velocity, by `prediction_type`) in float32. Gradients flow."""
    conditioning = conditioning.to(model.device, model.dtype)
    prediction: Tensor = model.unet(
        x_t.to(model.dtype),
        t,
        encoder_hidden_states=conditioning.prompt_embeds,
        added_cond_kwargs={
            "text_embeds": conditioning.pooled_prompt_embeds,
            "time_ids": conditioning.time_ids,
        },
        return_dict=False,
    )[0]
    return prediction.float()


def denoiser(model: BaseModel, conditioning: Conditioning) -> Denoiser:
    """A denoiser under this conditioning, one row of x_t for each of its rows, without gradients.

    Its calls share the prompts' keys and values.
    """
    conditioning = conditioning.to(model.device, model.dtype)
    projections = PromptProjections.of(model.unet, conditioning.prompt_embeds)

    def denoise(x_t: Latents, t: int) -> Latents:
        with projections.used():
            return predict_noise(model, x_t, torch.full((len(x_t),), t, device=x_t.device), conditioning)

    return denoise


@torch.no_grad()
def predict_noise(model: BaseModel, x_t: Latents, t: RowTimesteps, conditioning: Conditioning) -> Latents:
    """The noise in x_t, each row at its own timestep, without gradients."""
    prediction = predict(model, x_t, t, conditioning)
    return model.schedule.to_eps(prediction, x_t.float(), t, model.prediction_type)


def _schedule(scheduler: DDIMScheduler) -> NoiseSchedule:
    table = scheduler.alphas_cumprod.clone()
    table[0] = scheduler.final_alpha_cumprod
    # With zero terminal SNR, alpha would be 0 and divide by 0; diffusers' samplers use the same minimum.
    return NoiseSchedule(table.clamp(min=2**-24), scheduler.config.timestep_spacing, scheduler.config.steps_offset)
