"""Loss scaling for networks in float16, whose smallest gradients would become zero.

Mixed Precision Training, Micikevicius et al., section 3.2 (https://arxiv.org/abs/1710.03740). The factor is constant:
a resumed training then equals an unbroken one without further state. The trained weights are float32.
"""

import torch
from torch import Tensor
from torch.optim import Optimizer

FACTOR = 1024.0
"""The loss is a mean over 65,000 values, so that its first gradients are about 1e-5; float16 is exact from 6e-5 on."""


def scaled(loss: Tensor, dtype: torch.dtype) -> Tensor:
    """The loss times the factor if the network is float16, else the loss itself."""
    return loss * FACTOR if dtype == torch.float16 else loss


def unscale_gradients(optimizer: Optimizer, dtype: torch.dtype) -> bool:
    """Divide all gradients by the factor. False if one exceeded float16's range: the step must be left out."""
    if dtype != torch.float16:
        return True
    gradients = [
        weight.grad for group in optimizer.param_groups for weight in group["params"] if weight.grad is not None
    ]
    for gradient in gradients:
        gradient.div_(FACTOR)
    return all(bool(gradient.isfinite().all()) for gradient in gradients)
