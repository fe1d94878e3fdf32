"""The FLUX.2 [klein] backbone (https://bfl.ai/models/flux-2-klein): checkpoints of its classes and folder layout.

Other packages know its models by the interface in `lipe_core.backbone`.
"""

from lipe_core.flux2.base_model import predict
from lipe_core.flux2.components import check_folder
from lipe_core.flux2.images import to_tokens
from lipe_core.flux2.model import BaseModel, load
from lipe_core.flux2.references import beside
from lipe_core.flux2.text import embed, tokenize

__all__ = ["BaseModel", "beside", "check_folder", "embed", "load", "predict", "to_tokens", "tokenize"]
