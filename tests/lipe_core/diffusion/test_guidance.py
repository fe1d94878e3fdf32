import torch

from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.diffusion.guidance import EvaluationCounter, counted, guided


def conditioning(*values):
    column = torch.tensor(values, dtype=torch.float32)[:, None]
    return Conditioning(column[:, :, None].expand(-1, 3, 2), column.expand(-1, 4), column.expand(-1, 6))


def echo(rows):
    """A network that predicts its conditioning."""

    def denoise(x_t, t):
        return rows.pooled_prompt_embeds[:, :1, None, None].expand_as(x_t)

    return denoise


def test_extrapolates_from_uncond_to_cond():
    denoise = guided(echo, conditioning(2.0, 10.0), conditioning(1.0, 4.0), guidance_scale=3.0)
    eps = denoise(torch.zeros(2, 1, 2, 2), 500)
    assert eps[:, 0, 0, 0].tolist() == [1 + 3 * (2 - 1), 4 + 3 * (10 - 4)]


def test_scale_one_is_the_conditional_prediction_at_half_the_cost():
    counter = EvaluationCounter()
    denoise = guided(lambda c: counted(echo(c), counter), conditioning(2.0), conditioning(1.0), guidance_scale=1.0)
    assert denoise(torch.zeros(1, 1, 2, 2), 500).unique().tolist() == [2.0]
    assert counter.evaluations == 1


def test_both_halves_are_counted():
    counter = EvaluationCounter()
    denoise = guided(
        lambda c: counted(echo(c), counter), conditioning(2.0, 3.0), conditioning(0.0, 0.0), guidance_scale=5.0
    )
    for t in (9, 5):
        denoise(torch.zeros(2, 1, 2, 2), t)
    assert counter.evaluations == 2 * 2 * 2


def test_up_to_a_timestep_there_is_no_guidance_and_half_the_cost():
    counter = EvaluationCounter()
    denoise = guided(
        lambda c: counted(echo(c), counter),
        conditioning(2.0),
        conditioning(1.0),
        guidance_scale=3.0,
        unguided_until=400,
    )
    found = [denoise(torch.zeros(1, 1, 2, 2), t).unique().tolist() for t in (401, 400, 0)]
    assert found == [[1 + 3 * (2 - 1)], [2.0], [2.0]]
    assert counter.evaluations == 2 + 1 + 1
