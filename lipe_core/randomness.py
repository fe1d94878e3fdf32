"""Randomness as an argument: every draw is a function of numbers that are written down."""

import hashlib

import torch


def stream(*key: int | str) -> torch.Generator:
    """A CPU generator that the key alone decides, such as ("noise", seed, step); other keys are independent."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
