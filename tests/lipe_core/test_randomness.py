import torch

from lipe_core.randomness import stream


def test_equal_keys_give_equal_streams_and_different_keys_different_ones() -> None:
    draws = [torch.randn(8, generator=stream("noise", *key)) for key in ((1, 2), (1, 2), (2, 1), (12,))]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], draws[3])
