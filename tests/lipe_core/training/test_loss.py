import pytest
import torch

from lipe_core.diffusion.schedule import NoiseSchedule
from lipe_core.training.loss import denoising_loss, dreambooth_weights, min_snr_weight

SCHEDULE = NoiseSchedule.scaled_linear()
T = torch.tensor([1, 200, 500, 999])


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_min_snr_weights_the_error_of_x_0_by_min_snr_gamma(prediction_type: str) -> None:
    """In terms of x_0 the error of either prediction type is weighted by min(SNR, gamma)."""
    generator = torch.Generator().manual_seed(0)
    x_0, eps, wrong = (torch.randn(4, 4, 8, 8, generator=generator, dtype=torch.float64) for _ in range(3))
    x_t = SCHEDULE.add_noise(x_0, eps, T)
    target = SCHEDULE.target(x_0, eps, T, prediction_type)  # type: ignore[arg-type]
    prediction = target + wrong
    weight = min_snr_weight(SCHEDULE, T, 5.0, prediction_type)  # type: ignore[arg-type]
    # x_0 = (x_t - sigma eps) / alpha, so that its squared error is that of eps over the SNR
    eps_error = SCHEDULE.to_eps(prediction, x_t, T, prediction_type) - eps  # type: ignore[arg-type]
    error = eps_error.square().mean(dim=(1, 2, 3)) / SCHEDULE.snr(T)
    expected = SCHEDULE.snr(T).clamp(max=5.0) * error
    torch.testing.assert_close(
        denoising_loss(prediction, target, weight, torch.ones(4, 1, 8, 8)), expected, rtol=1e-4, atol=0
    )


def test_preservation_is_weighted_as_a_whole_for_any_number_of_rows() -> None:
    losses = torch.tensor([1.0, 3.0, 4.0, 5.0, 6.0])
    assert (dreambooth_weights(2, 3, 0.5) @ losses).item() == pytest.approx(2 + 0.5 * 5)


def test_without_preservation_samples_only_the_subject_counts() -> None:
    assert (dreambooth_weights(2, 0, 1.0) @ torch.tensor([1.0, 3.0])).item() == 2


def test_emphasis_weights_positions_and_its_scale_has_no_effect() -> None:
    prediction, target = torch.zeros(1, 4, 2, 2), torch.zeros(1, 4, 2, 2)
    target[..., 0, 0] = 1.0
    emphasis = torch.ones(1, 1, 2, 2)
    weight = torch.ones(1)
    assert denoising_loss(prediction, target, weight, emphasis).item() == pytest.approx(1 / 4)
    emphasis[..., 0, 0] = 3.0
    assert denoising_loss(prediction, target, weight, emphasis).item() == pytest.approx(3 / 6)
    assert denoising_loss(prediction, target, weight, 7 * emphasis).item() == pytest.approx(3 / 6)
