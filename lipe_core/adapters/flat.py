"""All matrices of a LoRA in one tensor: clipping, AdamW and the cast to the network's precision are one operation each.

SDXL's attention has 1120 matrices. Cast one by one, they are a third of a training step's operations, which cost the
host more time than the GPU. The float32 weights are the master copy of Mixed Precision Training, Micikevicius et al.,
section 3.1 (https://arxiv.org/abs/1710.03740).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class FlatWeights:
    """One-dimensional tensors that hold all matrices, one after the other.

    `master` is trained in float32. `shadow` has its values in the precision of the network, which computes with them;
    in float32 it is the master itself. A backward pass writes `gradient`, divided by `scale`.
    """

    master: nn.Parameter
    shadow: Tensor
    gradient: Tensor
    scale: float
    shapes: Mapping[str, torch.Size]

    @classmethod
    def of(cls, matrices: Mapping[str, Tensor], dtype: torch.dtype, scale: float) -> "FlatWeights":
        """A copy of the matrices for a network of this precision."""
        master = nn.Parameter(torch.cat([matrix.detach().float().flatten() for matrix in matrices.values()]))
        shadow = master.data.to(dtype)
        shapes = {name: matrix.shape for name, matrix in matrices.items()}
        return cls(master, shadow, torch.zeros_like(shadow), scale, shapes)

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """The matrices in a tensor of the master's shape, by name."""
        parts = torch.split(flat, [shape.numel() for shape in self.shapes.values()])
        return {name: part.view(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    @torch.no_grad()
    def publish(self) -> None:
        """Let the network compute with the master's present values."""
        if self.shadow.dtype != self.master.dtype:
            self.shadow.copy_(self.master)

    def collect(self) -> None:
        """Add the gradient of the last backward pass to the master's, in float32."""
        gradient = self.gradient.float() * self.scale
        self.master.grad = gradient if self.master.grad is None else self.master.grad.add_(gradient)
