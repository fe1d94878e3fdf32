"""What all backbones have in common: the interface of a base model, and what follows from it alone.

A backbone is a package that loads one family of checkpoints, such as `sdxl`. `lipe_core.base_models` chooses it by the
checkpoint's folder. Code above it uses the names below, and never asks which backbone a model has.
"""

from lipe_core.backbone.attention import AttentionStore, Tokens, Visit, subject_share
from lipe_core.backbone.base_model import BaseModel, TokenTable, predict_noise
from lipe_core.backbone.components import check_tensors, load_network, reason
from lipe_core.backbone.images import at_native_shape, bucket, color_change, decode, encode_image
from lipe_core.backbone.prompt_cache import PromptCache
from lipe_core.backbone.text_to_image import generate_images, generate_latents

__all__ = [
    "AttentionStore",
    "BaseModel",
    "PromptCache",
    "TokenTable",
    "Tokens",
    "Visit",
    "at_native_shape",
    "bucket",
    "check_tensors",
    "color_change",
    "decode",
    "encode_image",
    "generate_images",
    "generate_latents",
    "load_network",
    "predict_noise",
    "reason",
    "subject_share",
]
