"""The base model: any checkpoint of Stable Diffusion XL's classes and folder layout, of any size.

https://arxiv.org/abs/2307.01952. The only module that imports diffusers, except the method `ledits`.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.diffusion.ddim import Denoiser
from lipe_core.diffusion.schedule import NoiseSchedule, PredictionType
from lipe_core.pretrained import public_name
from lipe_core.shapes import Latents, RowTimesteps, Size

FAMILY = "sdxl"
"""The family of the checkpoints that this package loads."""
_COMPONENTS = ("text_encoder", "text_encoder_2", "unet", "vae")
"""Folders of the weights that the fingerprint covers."""


@dataclass(frozen=True)
class BaseModel:
    """A loaded checkpoint. `fingerprint` is the SHA-256 over its weight files; a prior fits only one fingerprint."""

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

    @property
    def name(self) -> str:
        """The checkpoint's name without its location on this machine."""
        return public_name(self.checkpoint)

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
) -> BaseModel:
    """Load a folder, or a repository of the model hub, from safetensors files only.

    `dtype` is the network's. The VAE runs in bfloat16 or float32, because SDXL's overflows to NaN in float16.
    """
    is_folder = Path(checkpoint).is_dir()
    folder = Path(
        checkpoint
        if is_folder
        else StableDiffusionXLPipeline.download(str(checkpoint), revision=revision, use_safetensors=True)
    )
    pipeline = _load_pipeline(folder, dtype)
    scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    for network in (pipeline.unet, pipeline.vae, pipeline.text_encoder, pipeline.text_encoder_2):
        network.requires_grad_(False).eval().to(device)
    return BaseModel(
        unet=pipeline.unet,
        vae=pipeline.vae,
        tokenizers=(pipeline.tokenizer, pipeline.tokenizer_2),
        text_encoders=(pipeline.text_encoder, pipeline.text_encoder_2),
        schedule=_schedule(scheduler),
        prediction_type=scheduler.config.prediction_type,
        zero_empty_prompt=bool(pipeline.config.force_zeros_for_empty_prompt),
        checkpoint=str(checkpoint),
        revision=revision if is_folder else folder.name,
        fingerprint=_fingerprint(folder),
        device=torch.device(device),
        dtype=dtype,
    )


def _load_pipeline(folder: Path, dtype: torch.dtype) -> StableDiffusionXLPipeline:
    vae_dtype = torch.bfloat16 if dtype == torch.bfloat16 else torch.float32
    pipeline = StableDiffusionXLPipeline.from_pretrained(
        folder,
        dtype={"vae": vae_dtype, "default": dtype},
        use_safetensors=True,
        add_watermarker=False,
        variant=_variant(folder),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


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
    """A denoiser under this conditioning, one row of x_t for each of its rows, without gradients."""
    conditioning = conditioning.to(model.device, model.dtype)

    @torch.no_grad()
    def denoise(x_t: Latents, t: int) -> Latents:
        rows = torch.full((len(x_t),), t, device=x_t.device)
        prediction = predict(model, x_t, rows, conditioning)
        return model.schedule.to_eps(prediction, x_t.float(), rows, model.prediction_type)

    return denoise


def _variant(folder: Path) -> str | None:
    """ "fp16" if the folder holds fp16 weights only, as many published checkpoints do."""
    weights = folder / "unet" / "diffusion_pytorch_model"
    half, full = (weights.with_suffix(suffix).exists() for suffix in (".fp16.safetensors", ".safetensors"))
    return "fp16" if half and not full else None


def _schedule(scheduler: DDIMScheduler) -> NoiseSchedule:
    table = scheduler.alphas_cumprod.clone()
    table[0] = scheduler.final_alpha_cumprod
    # With zero terminal SNR, alpha would be 0 and divide by 0; diffusers' samplers use the same minimum.
    return NoiseSchedule(table.clamp(min=2**-24), scheduler.config.timestep_spacing, scheduler.config.steps_offset)


def _fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for component in _COMPONENTS:
        for file in sorted((folder / component).glob("*.safetensors")):
            digest.update(file.relative_to(folder).as_posix().encode())
            with file.open("rb") as weights:
                digest.update(hashlib.file_digest(weights, "sha256").digest())
    return digest.hexdigest()
