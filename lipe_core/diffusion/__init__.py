"""Noise schedule, DDIM, guidance and conditioning: mathematics that knows no network."""
