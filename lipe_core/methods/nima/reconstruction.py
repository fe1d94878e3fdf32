"""The background back as the source shows it, in the decoder's own picture.

The background reconstruction of Blended Latent Diffusion, Avrahami, Fried and Lischinski, section 4.2
(https://arxiv.org/abs/2206.02779): a latent covers some 8 x 8 pixels and a silhouette's edge runs through it, so what
was painted on the edge's outer side returns to the source, and on its inner side it stays; further out, what the
autoencoder loses of a picture comes back. They descend a gradient. Here the encoder says where to go, the forward step
method of Gradient-free Decoder Inversion, Hong et al. (https://arxiv.org/abs/2409.18442): no gradient's time, nor its
memory.
"""

from collections.abc import Callable

import torch

from lipe_core.shapes import Latents, Pixels


@torch.no_grad()
def reconstruct_background(
    encode: Callable[[Pixels], Latents],
    decode: Callable[[Latents], Pixels],
    x_0: Latents,
    goal: Pixels,
    *,
    steps: int,
    on_step: Callable[[], None] = lambda: None,
) -> Latents:
    """Moves the latents until they decode to the goal: the source, but where the subject is what they decode to.

    `encode` must nearly undo `decode`, as a trained autoencoder's does. `on_step` may raise to stop the work.
    """
    wanted = encode(goal)
    for _ in range(steps):
        x_0 = x_0 + wanted - encode(decode(x_0))
        on_step()
    return x_0
