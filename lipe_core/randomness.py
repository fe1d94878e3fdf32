"""Reproducible randomness: every draw is a function of explicit keys."""

import hashlib

import torch


def stream(*key: int | str) -> torch.Generator:
    """A CPU generator seeded by the key, such as ("noise", seed, step). Different keys give independent streams."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
