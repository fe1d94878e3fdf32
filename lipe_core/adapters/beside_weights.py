"""The low-rank products of a prior beside weights of 8 bits.

Added to such a weight, a change that is smaller than half a step would be rounded away.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from lipe_core.backbone import BaseModel


def beside_weights(model: BaseModel, products: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """The new values of the network's parameters for A and B of each layer (`quantization.QuantizedLinear`).

    Recorded graphs read these parameters where they are. With graphs, a layer therefore has places for as many ranks as
    any prior had there so far, and a prior of fewer ranks fills them with zeros.
    """
    values: dict[str, Tensor] = {}
    for layer, (down, up) in products.items():
        if model.graphs is not None:
            places = model.network.get_submodule(layer)
            missing = len(down) - len(places.down)
            if missing > 0:
                places.down.data = places.down.data.new_zeros(down.shape)
                places.up.data = places.up.data.new_zeros(up.shape)
            elif missing < 0:
                down = torch.cat([down, down.new_zeros(-missing, down.shape[1])])
                up = torch.cat([up, up.new_zeros(len(up), -missing)], dim=1)
        values |= {f"{layer}.down": down, f"{layer}.up": up}
    return values
