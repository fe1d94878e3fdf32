"""Requests, priors and comparisons for the tests of editing methods."""

from collections.abc import Callable

import numpy as np
import torch
from einops import rearrange
from PIL import Image

from lipe_core.adapters import lora
from lipe_core.adapters.prior import Manifest, Prior
from lipe_core.backbone import BaseModel
from lipe_core.methods.request import EditRequest

SOURCE, TARGET = "a photo of sks dog sitting", "a photo of sks dog jumping"


MakeRequest = Callable[..., EditRequest]


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean absolute difference in levels of 0 .. 255."""
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).mean())


def make_prior(model: BaseModel, rank: int = 4, alpha: float = 8.0) -> Prior:
    """A prior with random weights that are not zero, as if it had been trained."""
    with lora.new_adapter(model, rank=rank, alpha=alpha, seed=1) as name:
        for key, weight in lora.adapter_parameters(model).items():
            if "lora_B" in key:
                weight.data.normal_(generator=torch.Generator().manual_seed(len(key)), std=0.1)
        tensors = lora.export_adapter(model, name)
    return Prior(tensors, Manifest("sks", "dog", model.checkpoint, None, model.fingerprint, (), (), {}, ()))


def disc(size=24, radius=6.0, centre=(12.0, 12.0)):
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return ((y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2).float()[None, None]


class NaiveAttention:
    """An attention processor that computes the full map and stores it in `maps`."""

    def __init__(self, name, maps):
        self.name, self.maps = name, maps

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None):
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = (
            rearrange(projection(source), "b n (h d) -> b h n d", h=attn.heads)
            for projection, source in ((attn.to_q, hidden_states), (attn.to_k, context), (attn.to_v, context))
        )
        probabilities = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
        self.maps[self.name] = probabilities
        return attn.to_out[0](rearrange(probabilities @ v, "b h n d -> b n (h d)"))
