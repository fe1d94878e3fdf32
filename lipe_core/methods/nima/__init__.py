"""NIMA, non-rigid editing via identity-aware mask blend: LIPE, section 3.3 (https://arxiv.org/abs/2406.17236)."""
