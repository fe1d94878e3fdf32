"""What training minimises: DreamBooth's two terms, weighted by min-SNR."""

from jaxtyping import Float
from torch import Tensor

from lipe_core.schedule import NoiseSchedule, PredictionType
from lipe_core.shapes import Latents, PerRow, RowTimesteps


def min_snr_weight(schedule: NoiseSchedule, t: RowTimesteps, gamma: float, prediction_type: PredictionType) -> PerRow:
    """min(SNR, gamma) / SNR for a noise prediction, min(SNR, gamma) / (SNR + 1) for a velocity.

    Efficient Diffusion Training via Min-SNR Weighting Strategy, https://arxiv.org/abs/2303.09556, section 3.4.
    """
    snr = schedule.snr(t)
    return snr.clamp(max=gamma) / (snr if prediction_type == "epsilon" else snr + 1)


def denoising_loss(prediction: Latents, target: Latents, weight: PerRow) -> PerRow:
    """Weighted mean squared error of each row."""
    return weight * (prediction - target).square().mean(dim=(1, 2, 3))


def dreambooth_loss(
    instance: Float[Tensor, " i"], preservation: Float[Tensor, " c"], preservation_weight: float
) -> Float[Tensor, ""]:
    """mean(instance) + weight * mean(preservation) (https://arxiv.org/abs/2208.12242, section 3.3).

    The two vectors stay apart to the end, so that neither their sizes nor their weights can mix. Without
    preservation samples the second term is absent.
    """
    loss = instance.mean()
    return loss + preservation_weight * preservation.mean() if len(preservation) else loss
