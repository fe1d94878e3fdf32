"""The Stable Diffusion XL backbone (https://arxiv.org/abs/2307.01952): checkpoints of its classes and folder layout.

Other packages know its models by the interface in `lipe_core.backbone`, except methods that are made for SDXL.
"""

from lipe_core.backbone import (
    Tokens,
    at_native_shape,
    color_change,
    decode,
    encode_image,
    generate_images,
    generate_latents,
    predict_noise,
    subject_share,
)
from lipe_core.sdxl.attention import (
    Processor,
    QueriesAndKeys,
    RecordedLayers,
    record_attention,
    self_attention_layers,
    use_processors,
)
from lipe_core.sdxl.base_model import FAMILY, denoiser, predict
from lipe_core.sdxl.components import check_folder
from lipe_core.sdxl.images import decode_pixels, enable_tiling, encode_pixels, native_shape, tiled
from lipe_core.sdxl.model import BaseModel, load
from lipe_core.sdxl.text import (
    content_tokens,
    encode_prompt,
    is_in_vocabulary,
    require_length,
    shortened,
    token_positions,
)

__all__ = [
    "FAMILY",
    "BaseModel",
    "Processor",
    "QueriesAndKeys",
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
