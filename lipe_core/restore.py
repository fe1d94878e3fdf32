"""The background back as the source shows it, in the decoder's own picture.

The latent optimization of Blended Latent Diffusion, Avrahami, Fried and Lischinski, section 4.2
(https://arxiv.org/abs/2206.02779). A latent covers some 8 x 8 pixels and a silhouette's edge runs through it: what was
painted on the edge's outer side returns to the source, on its inner side it stays. Further out, what the autoencoder
loses of a picture comes back.
"""

from collections.abc import Callable

import torch

from lipe_core.shapes import Latents, Pixels

_RATE = 0.07
"""Adam's; latents have about unit deviation."""


def restore_background(
    decode: Callable[[Latents], Pixels],
    x_0: Latents,
    goal: Pixels,
    *,
    steps: int,
    on_step: Callable[[], None] = lambda: None,
) -> Latents:
    """Moves the latents until they decode to the goal: the source, but where the subject is what they decode to.

    Rows are done one by one, as gradients through a decoder are large. `on_step` may raise to stop the work.
    """
    rows = zip(x_0[:, None], goal[:, None], strict=True)
    return torch.cat([_restored(decode, *row, steps, on_step) for row in rows])


def _restored(
    decode: Callable[[Latents], Pixels],
    x_0: Latents,
    goal: Pixels,
    steps: int,
    on_step: Callable[[], None],
) -> Latents:
    with torch.enable_grad():
        shift = torch.zeros_like(x_0, requires_grad=True)
        optimizer = torch.optim.Adam([shift], lr=_RATE)
        for _ in range(steps):
            optimizer.zero_grad()
            error = (decode(x_0 + shift) - goal).square().mean()
            error.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            on_step()
    return x_0 + shift.detach()
