"""The Stable Diffusion XL backbone: the only package that imports diffusers' classes, but for the method `ledits`.

The names below are the interface of a backbone. No other package imports the modules of this one, so that a second
backbone can be added as a package with the same names.
"""

from lipe_core.sdxl.attention import (
    AttentionStore,
    Processor,
    RecordedLayers,
    Tokens,
    record_attention,
    self_attention_layers,
    subject_share,
    use_processors,
)
from lipe_core.sdxl.base_model import FAMILY, BaseModel, denoiser, load, predict, predict_noise
from lipe_core.sdxl.components import check_folder
from lipe_core.sdxl.images import (
    at_native_shape,
    color_change,
    decode,
    decode_pixels,
    enable_tiling,
    encode_image,
    encode_pixels,
    native_shape,
    tiled,
)
from lipe_core.sdxl.text import (
    content_tokens,
    encode_prompt,
    is_in_vocabulary,
    require_length,
    shortened,
    token_positions,
)
from lipe_core.sdxl.text_to_image import generate_images, generate_latents

__all__ = [
    "FAMILY",
    "AttentionStore",
    "BaseModel",
    "Processor",
    "RecordedLayers",
    "Tokens",
    "at_native_shape",
    "check_folder",
    "color_change",
    "content_tokens",
    "decode",
    "decode_pixels",
    "denoiser",
    "enable_tiling",
    "encode_image",
    "encode_pixels",
    "encode_prompt",
    "generate_images",
    "generate_latents",
    "is_in_vocabulary",
    "load",
    "native_shape",
    "predict",
    "predict_noise",
    "record_attention",
    "require_length",
    "self_attention_layers",
    "shortened",
    "subject_share",
    "tiled",
    "token_positions",
    "use_processors",
]
