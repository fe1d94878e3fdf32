"""Prompts and training data without content, of the shapes that a model has, for measurements of cost."""

import torch

from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.sdxl import BaseModel
from lipe_core.training.batches import TrainingData
from lipe_core.training.dataset import EncodedSet


def conditioning(model: BaseModel, rows: int, device: torch.device) -> Conditioning:
    """Embeddings of so many prompts."""
    width, pooled = int(model.unet.config.cross_attention_dim), model.text_encoders[1].config.projection_dim
    shapes = (rows, 77, width), (rows, pooled), (rows, 6)
    return Conditioning(*(torch.zeros(shape, device=device) for shape in shapes))


def training_data(model: BaseModel) -> TrainingData:
    """Three encoded references and four images of the class, on the CPU."""
    latents = model.latent_shape((model.native_size,) * 2)
    cpu = torch.device("cpu")
    own, of_class = (
        EncodedSet(torch.zeros(count, *latents), conditioning(model, count, cpu), ("",) * count) for count in (3, 4)
    )
    return TrainingData([own], of_class, conditioning(model, 1, cpu))
