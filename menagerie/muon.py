"""Muon, an optimizer for hidden matrices with orthogonalised momentum.

Jordan et al. 2024, https://kellerjordan.github.io/posts/muon. A convolution is the matrix (outputs, inputs x kernel).
Updates are scaled to AdamW's usual size (Liu et al. 2025, "Muon is scalable for LLM training", equation 4), so that one
learning rate serves both optimizers.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

_QUINTIC = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.Optimizer):
    """Updates parameters of two or more dimensions. Weight decay is decoupled as in AdamW."""

    def __init__(self, params: list[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override] # no closure, no loss
        if closure is not None:
            raise ValueError("Muon takes no closure")
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            # Matrices of the same shape are orthogonalised in one call, because there are hundreds of small ones.
            by_shape: dict[tuple[int, int], list[tuple[nn.Parameter, Tensor]]] = defaultdict(list)
            for parameter, update in zip(parameters, self._nesterov(parameters, group["momentum"]), strict=True):
                by_shape[parameter.shape[0], parameter[0].numel()].append((parameter, update))
            for shape, pairs in by_shape.items():
                matrices, momenta = zip(*pairs, strict=True)
                updates = orthogonalize(torch.stack([momentum.view(shape) for momentum in momenta]))
                scaled = updates * (-group["lr"] * 0.2 * max(shape) ** 0.5)
                torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(matrices, [u.view(m.shape) for u, m in zip(scaled, matrices, strict=True)])

    def _nesterov(self, parameters: list[nn.Parameter], momentum: float) -> Sequence[Tensor]:
        for parameter in parameters:
            if not self.state[parameter]:
                zeros = torch.zeros_like(parameter, memory_format=torch.contiguous_format)
                self.state[parameter]["momentum"] = zeros
        gradients = [parameter.grad.contiguous() for parameter in parameters if parameter.grad is not None]
        momenta = [self.state[parameter]["momentum"] for parameter in parameters]
        torch._foreach_lerp_(momenta, gradients, 1 - momentum)
        return torch._foreach_lerp(gradients, momenta, momentum)


def orthogonalize(matrices: Tensor, steps: int = 5) -> Tensor:
    """Approximate the nearest orthogonal matrix of each of (k, m, n): singular values between 0.7 and 1.2.

    The quintic Newton-Schulz iteration p(G) X. Only the small Gram matrix G = X X^T is iterated.
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
    orthogonal: Tensor = product @ x
    return orthogonal


_ENDS = ("conv_in", "conv_out", "embedding", "add_", "embed_tokens", "lm_head")


def optimizers(
    model: nn.Module,
    lr: float,
    weight_decay: float = 0.0,
    adam_share: float = 1.0,
    ends: Sequence[str] = _ENDS,
) -> list[torch.optim.Optimizer]:
    """Muon for hidden matrices; AdamW, at `adam_share` of the rate, for vectors, embeddings and outermost layers.

    `ends` are parts of the names of embeddings and outermost layers.
    """
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
