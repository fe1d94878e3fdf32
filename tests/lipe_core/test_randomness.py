import torch

from lipe_core.randomness import stream


def test_a_key_decides_its_stream_and_another_key_another_one() -> None:
    draws = [torch.randn(8, generator=stream("noise", *key)) for key in ((1, 2), (1, 2), (2, 1), (12,))]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], draws[3])
