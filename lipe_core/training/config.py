"""The settings of a training."""

import math
from dataclasses import dataclass

from lipe_core.adapters.lora import TARGETS, Target, Tuning


@dataclass(frozen=True)
class PriorConfig:
    """Settings of a training. None of these values is the paper's, which published none.

    `batch_size` images of the subject and `preservation_batch_size` of its class make a step. A `token_learning_rate`
    other than 0 also learns what the subject's token means (`textual_inversion.py`). `caption_dropout` is the share
    of captions left empty, for guidance. `compute_dtype` is autocast's, "auto" bfloat16 where the device has it.
    `tuning` "full_attention" is the paper's own; it wants a learning rate of a LoRA's hundredth, and `rank`,
    `alpha` and `targets` are a LoRA's alone. `targets` are the projections that get one: without "to_q"
    and "to_k" attention, and with it the sense of where things go, stays the base model's. On the subject's
    images the loss counts `subject_emphasis` times on the subject (`subject_weighting.py`); a `min_snr_gamma` of 0
    leaves min-SNR out. `mirror` shows every reference from its other side, too (`references.py`): not for a subject
    that bears letters or is known by one side.
    """

    steps: int = 500
    batch_size: int = 1
    preservation_batch_size: int = 1
    learning_rate: float = 1e-4
    token_learning_rate: float = 0.0
    warmup: int = 20
    tuning: Tuning = "lora"
    rank: int = 16
    alpha: float = 16.0
    targets: tuple[Target, ...] = TARGETS
    weight_decay: float = 0.01
    preservation_weight: float = 1.0
    min_snr_gamma: float = 5.0
    subject_emphasis: float = 1.0
    caption_dropout: float = 0.05
    max_gradient_norm: float = 1.0
    mirror: bool = False
    compute_dtype: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "rank"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("token_learning_rate", "preservation_batch_size", "min_snr_gamma"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}")
        for name in ("learning_rate", "alpha", "max_gradient_norm", "subject_emphasis"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {getattr(self, name)}")
        if not 0 <= self.caption_dropout < 1:
            raise ValueError(f"caption_dropout must be in [0, 1), got {self.caption_dropout}")
        if not self.targets or set(self.targets) - set(TARGETS):
            raise ValueError(f"targets must be some of {', '.join(TARGETS)}, got {', '.join(self.targets) or 'none'}")
        if self.tuning not in ("lora", "full_attention"):
            raise ValueError(f"tuning must be lora or full_attention, got {self.tuning!r}")
        if self.compute_dtype not in ("auto", "bfloat16", "float32"):
            raise ValueError(f"compute_dtype must be auto, bfloat16 or float32, got {self.compute_dtype!r}")
