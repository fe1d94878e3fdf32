"""What diffusers itself does for the same work: a LoRA training step, and text-to-image sampling.

The step has the order of diffusers' example train_dreambooth_lora_sdxl.py in its fastest mode, with peft's layers: the
VAE encodes the images, noise and timesteps are drawn on the device, gradients are clipped and AdamW updates every
matrix on its own. Its autocast is left out, because the meta device has none: its casts would come on top.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler, EulerDiscreteScheduler, StableDiffusionXLPipeline
from peft import LoraConfig

from lipe_core.adapters.lora import TARGETS
from lipe_core.sdxl import BaseModel

_SCHEDULE = {
    "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "timestep_spacing": "leading",
    "steps_offset": 1,
}  # fmt: skip


@contextmanager
def lora_training_step(model: BaseModel, *, rank: int, with_vae: bool, batch: int = 1) -> Iterator[Callable[[], float]]:
    """The function that makes one step with `batch` images of the subject and of its class, and returns its loss.

    Without `with_vae` the latents are given, as LIPE has them. Images and prompts are random.
    """
    model.unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=list(TARGETS)))
    parameters = [weight for name, weight in model.unet.named_parameters() if "lora_" in name]
    for weight in parameters:
        weight.data = weight.data.float()
    side, device = model.native_size, model.device
    scheduler, optimizer = DDPMScheduler(**_SCHEDULE), torch.optim.AdamW(parameters, lr=1e-4)
    length, width = model.tokenizers[0].model_max_length, int(model.unet.config.cross_attention_dim)
    draw = partial(torch.randn, 2 * batch, dtype=model.dtype, device=device)
    pixels, latents = draw(3, side, side), draw(*model.latent_shape((side, side)))
    prompts, pooled = draw(length, width), draw(model.text_encoders[1].config.projection_dim)

    def step() -> float:
        x_0 = latents
        if with_vae:
            with torch.no_grad():
                x_0 = model.vae.encode(pixels).latent_dist.sample() * model.vae.config.scaling_factor
        noise = torch.randn_like(x_0)
        t = torch.randint(0, scheduler.config.num_train_timesteps, (2 * batch,), device=device)
        noised = scheduler.add_noise(x_0, noise, t)
        time_ids = torch.cat([torch.tensor([[side, side, 0, 0, side, side]]).to(device, model.dtype) for _ in x_0])
        conditions = {"time_ids": time_ids, "text_embeds": pooled}
        prediction = model.unet(noised, t, prompts, added_cond_kwargs=conditions, return_dict=False)[0]
        (own, of_class), (noise, class_noise) = prediction.chunk(2), noise.chunk(2)
        loss = F.mse_loss(own.float(), noise.float()) + F.mse_loss(of_class.float(), class_noise.float())
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach().item()

    try:
        yield step
    finally:
        model.unet.unload_lora()  # leaves no layers of peft behind
        model.unet.requires_grad_(False)


def sampling(model: BaseModel, steps: int) -> None:
    """Sample latents of one image with guidance by diffusers' own pipeline, from encoded prompts."""
    pipeline = StableDiffusionXLPipeline(
        vae=model.vae, text_encoder=model.text_encoders[0], text_encoder_2=model.text_encoders[1],
        tokenizer=model.tokenizers[0], tokenizer_2=model.tokenizers[1], unet=model.unet,
        scheduler=EulerDiscreteScheduler(**_SCHEDULE), add_watermarker=False,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    embeds = torch.empty(1, 77, int(model.unet.config.cross_attention_dim), dtype=model.dtype, device=model.device)
    pooled = torch.empty(1, model.text_encoders[1].config.projection_dim, dtype=model.dtype, device=model.device)
    pipeline(
        prompt_embeds=embeds, pooled_prompt_embeds=pooled, negative_prompt_embeds=embeds,
        negative_pooled_prompt_embeds=pooled, num_inference_steps=steps, guidance_scale=5.0, output_type="latent",
    )  # fmt: skip
