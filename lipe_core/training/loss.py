"""The training loss: DreamBooth's two terms, weighted by min-SNR."""

import torch

from lipe_core.diffusion.schedule import PredictionType, Schedule
from lipe_core.shapes import Latents, Mask, PerRow, RowTimesteps


def min_snr_weight(schedule: Schedule, t: RowTimesteps, gamma: float, prediction_type: PredictionType) -> PerRow:
    """min(SNR, gamma) / SNR for a noise prediction, min(SNR, gamma) / (SNR + 1) for a velocity.

    Efficient Diffusion Training via Min-SNR Weighting Strategy, https://arxiv.org/abs/2303.09556, section 3.4. An error
    of a flow's velocity is 1 / s times the error of x_0, with the noise level s = 1 / (1 + sqrt(SNR)).
    """
    snr = schedule.snr(t)
    if prediction_type == "flow":
        return snr.clamp(max=gamma) / (1 + snr.sqrt()).square()
    return snr.clamp(max=gamma) / (snr if prediction_type == "epsilon" else snr + 1)


def denoising_loss(prediction: Latents, target: Latents, weight: PerRow, emphasis: Mask) -> PerRow:
    """Weighted mean squared error of each row. Positions count in proportion to `emphasis`; its scale has no effect."""
    share = emphasis / emphasis.mean(dim=(1, 2, 3), keepdim=True)
    return weight * (share * (prediction - target).square()).mean(dim=(1, 2, 3))


def dreambooth_weights(instance: int, preservation: int, preservation_weight: float) -> PerRow:
    """Each row's weight in mean(instance) + w * mean(preservation), instance rows first.

    DreamBooth, https://arxiv.org/abs/2208.12242, section 3.3. With weights per row, the loss is one sum over all rows,
    which can be computed in parts.
    """
    return torch.tensor([1 / instance] * instance + [preservation_weight / max(preservation, 1)] * preservation)
