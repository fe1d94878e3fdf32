"""Settings of a training."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Interval, Len

from lipe_core.adapters.lora import TARGETS, Target, Tuning
from lipe_core.settings import check_settings


@dataclass(frozen=True)
class PriorConfig:
    """Settings of a training. The paper publishes no values; the defaults are ours.

    `rank`, `alpha` and `targets` apply to a LoRA only.
    """

    steps: Annotated[int, Interval(ge=1)] = 500
    """Optimizer steps. Time grows in proportion. Raise it if results do not resemble the subject."""

    batch_size: Annotated[int, Interval(ge=1)] = 1
    """Reference images per step. Memory and time of a step grow with it. Raise it for steadier training on a large
    GPU."""

    preservation_batch_size: Annotated[int, Interval(ge=0)] = 1
    """Images of the class per step, for the preservation loss; 0 leaves that loss out. Set 0 for a faster training
    that may forget the class."""

    learning_rate: Annotated[float, Interval(gt=0, le=0.1)] = 1e-4
    """Peak learning rate of AdamW. Full attention tuning needs about a hundredth of a LoRA's."""

    token_learning_rate: Annotated[float, Interval(ge=0, le=0.1)] = 0.0
    """Learning rate of the embedding of the subject's token (textual inversion); 0 does not train it. Raise it if
    the token alone does not recall the subject."""

    warmup: Annotated[int, Interval(ge=0)] = 20
    """Steps over which the learning rate rises linearly. Raise it if the loss jumps at the start."""

    tuning: Tuning = "lora"
    """The weights that are trained: a LoRA, or all attention weights (the paper's choice). The latter needs more
    memory and makes a larger file."""

    rank: Annotated[int, Interval(ge=1, le=256)] = 16
    """Rank of the LoRA. Higher ranks learn more detail and make a larger file."""

    alpha: Annotated[float, Interval(gt=0, le=512)] = 16.0
    """Scale of the LoRA: its output is multiplied by alpha / rank. Change it together with the rank."""

    targets: Annotated[tuple[Target, ...], Len(1, 4)] = TARGETS
    """Attention projections that get a LoRA. Without `to_q` and `to_k` the base model's sense of layout stays as it
    is."""

    weight_decay: Annotated[float, Interval(ge=0, le=1)] = 0.01
    """Weight decay of AdamW. Raise it if the prior only repeats the references."""

    preservation_weight: Annotated[float, Interval(ge=0, le=10)] = 1.0
    """Weight of the preservation loss. Raise it if the prior forgets what other members of the class look like."""

    min_snr_gamma: Annotated[float, Interval(ge=0, le=100)] = 5.0
    """Gamma of min-SNR loss weighting; 0 weights all noise levels alike. Most trainings need no change."""

    subject_emphasis: Annotated[float, Interval(gt=0, le=100)] = 1.0
    """Weight of the loss where the reference images show the subject; 1 weights all pixels alike. Raise it if
    backgrounds of the references appear in edits."""

    caption_dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.05
    """Share of the captions that are replaced by the empty one, so that guidance keeps working. Most trainings need
    no change."""

    max_gradient_norm: Annotated[float, Interval(gt=0, le=1000)] = 1.0
    """Norm to which gradients are clipped. Lower it if the loss jumps."""

    mirror: bool = False
    """Whether to train on the mirrored reference images too. Leave it off for a subject with letters or with two
    different sides."""

    compute_dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    """Data type of autocast; `auto` is bfloat16 where the device has it."""

    seed: int = 0
    """Seed of the training's noise, timesteps and order of samples. Change it to train again with other noise."""

    def __post_init__(self) -> None:
        check_settings(self)
