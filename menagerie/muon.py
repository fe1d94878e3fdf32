"""Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon): momentum, orthogonalised, for hidden matrices.

A convolution is the matrix (outputs, inputs x kernel). Updates are scaled to AdamW's usual size (Liu et al. 2025,
"Muon is scalable for LLM training", equation 4), so that one learning rate serves both optimizers.
"""

from collections import defaultdict
from collections.abc import Callable

import torch
from torch import Tensor, nn

_QUINTIC = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.Optimizer):
    """Steps parameters of two or more dimensions; decay is decoupled as in AdamW."""

    def __init__(self, params: list[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:
        if closure is not None:
            raise ValueError("Muon takes no closure")
        for group in self.param_groups:
            # Matrices of one shape are orthogonalised together: there are hundreds of small ones.
            alike: dict[tuple[int, int], list[nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike[parameter.shape[0], parameter[0].numel()].append(parameter)
            for shape, parameters in alike.items():
                updates = orthogonalize(
                    torch.stack([self._nesterov(p, group["momentum"]).view(shape) for p in parameters])
                )
                scale = 0.2 * max(shape) ** 0.5
                for parameter, update in zip(parameters, updates, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update.view(parameter.shape), alpha=-group["lr"] * scale)

    def _nesterov(self, parameter: nn.Parameter, momentum: float) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter, memory_format=torch.contiguous_format)
        gradient = parameter.grad.contiguous()
        state["momentum"].lerp_(gradient, 1 - momentum)
        return gradient.lerp(state["momentum"], momentum).flatten(1)


def orthogonalize(matrices: Tensor, steps: int = 5) -> Tensor:
    """For each of (k, m, n) roughly the nearest orthogonal matrix: singular values between 0.7 and 1.2.

    The quintic Newton-Schulz iteration p(G) X, of which only the small Gram matrix G = X X^T is iterated.
    """
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonalize(matrices.mT, steps).mT
    a, b, c = _QUINTIC
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    gram = x @ x.mT
    identity = torch.eye(gram.shape[-1], device=x.device)
    product = identity
    for _ in range(steps):
        polynomial = a * identity + b * gram + c * (gram @ gram)
        product = polynomial @ product
        gram = polynomial @ gram @ polynomial
    return product @ x


def optimizers(
    model: nn.Module, lr: float, weight_decay: float = 0.0, adam_share: float = 1.0
) -> list[torch.optim.Optimizer]:
    """Muon for hidden matrices; AdamW, at ``adam_share`` of the rate, for vectors, embeddings, outermost layers."""
    ends = ("conv_in", "conv_out", "embedding", "add_", "embed_tokens", "lm_head")
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    hidden = [p for name, p in named if p.ndim > 1 and not any(end in name for end in ends)]
    chosen = {id(p) for p in hidden}
    rest = [p for _, p in named if id(p) not in chosen]
    adam = torch.optim.AdamW(rest, lr=lr, betas=(0.9, 0.99), weight_decay=weight_decay, fused=True)
    for optimizer, share in (
        (muon := Muon(hidden, lr=lr, weight_decay=weight_decay), 1.0),
        (adam, adam_share),
    ):
        for group in optimizer.param_groups:
            group["share"] = share
    return [muon, adam]
