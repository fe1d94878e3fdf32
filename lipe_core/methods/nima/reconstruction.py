"""Bring the background back to the source, as the decoder shows it, up to the edge of the silhouettes.

The background reconstruction of Blended Latent Diffusion, Avrahami, Fried and Lischinski, section 4.2
(https://arxiv.org/abs/2206.02779). A latent covers some 8 x 8 pixels, and the edge of a silhouette runs through it.
Outside the edge the image returns to the source, inside it stays; further out, the autoencoder's own losses return
too. The paper descends a gradient. Here the encoder gives the direction: the forward step method of Gradient-free
Decoder Inversion, Hong et al. (https://arxiv.org/abs/2409.18442), which needs neither a gradient's time nor its memory.
"""

from collections.abc import Callable

import torch

from lipe_core.diffusion.ddim import OnStep
from lipe_core.methods.nima.config import NimaConfig
from lipe_core.methods.nima.edit_mask import EditMask, trimmed
from lipe_core.methods.nima.source import Source
from lipe_core.methods.session import EditSession
from lipe_core.shapes import Latents, Pixels


def restore_source(
    session: EditSession, x_0: Latents, mask: EditMask, source: Source, config: NimaConfig, on_step: OnStep
) -> tuple[Latents, EditMask]:
    """Return the background to the source, up to the figure's edge in the image. Returns latents and trimmed mask."""
    if config.mask_mode == "none":
        return x_0, mask
    model = session.model
    with session.clock.stage("decoding"):
        with torch.no_grad():
            generated = model.decode_pixels(x_0).clamp(-1, 1)
        mask = trimmed(mask, source, generated)
        x_0 = reconstruct_background(
            model.encode_pixels,
            model.decode_pixels,
            x_0,
            torch.where(mask.pixels > 0, generated, session.for_rows(session.pixels())),
            steps=config.reconstruction_steps,
            on_step=lambda: on_step(1, 1),
        )
    return x_0, mask


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
    """Move the latents until they decode to the goal: the source, with the generated subject in it.

    `encode` must nearly undo `decode`, as a trained autoencoder's does. `on_step` may raise to stop the work.
    """
    wanted = encode(goal)
    for _ in range(steps):
        x_0 = x_0 + wanted - encode(decode(x_0))
        on_step()
    return x_0
