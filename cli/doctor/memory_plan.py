"""The plan of GPU memory by phase, in lines: from counts, and from the one figure that was measured at SDXL's size.

Activations are the tensors of a forward and a backward pass. The plan calls them unknown unless they were measured. All
figures are in GB, 10^9 bytes.
"""

from dataclasses import dataclass

from cli.doctor.memory_counts import WEIGHT_BYTES, MemoryCounts

MEASURED_LORA_TRAINING = 22_000_000_000
"""Peak of a training step at SDXL's size on one H200, base model included: docs/gpus.md, `make bench-sdxl`."""
UNKNOWN = "activations come on top and are unknown"


@dataclass(frozen=True)
class MemoryPlan:
    """The plan for one GPU. `captioner`: its number of parameters, None: unknown. `card`: bytes, None: no GPU."""

    counts: MemoryCounts
    rank: int
    captioner: int | None
    card: int | None

    @property
    def training(self) -> int:
        """The bytes that a training of a LoRA needs at least, with its activations if they were measured."""
        return max(self.counts.lora_training, MEASURED_LORA_TRAINING if self.counts.is_sdxl else 0)

    def captioning_line(self) -> str:
        """Memory while a captioner works, which is on the GPU for that time only."""
        if self.captioner is None:
            return "unknown: the captioner is a hub id, or its files cannot be read"
        if not self.captioner:
            return "none: without LIPE_CAPTIONER, captions name the subject and no model writes them"
        alone = WEIGHT_BYTES * self.captioner
        return (
            f"{gb(self.counts.resident)} base model + {gb(alone)} captioner; {UNKNOWN}; if memory is full, "
            "the base model moves to main memory for this time"
        )

    def training_line(self) -> str:
        """Memory of a training, for both kinds of adapter."""
        counts = self.counts
        lora = f"LoRA of rank {self.rank}: {gb(counts.lora_training)} with optimizer, {UNKNOWN}"
        if counts.is_sdxl:
            lora = (
                f"LoRA of rank {self.rank}: {gb(MEASURED_LORA_TRAINING)} (measured at rank 16 with 1 reference and 1 "
                f"regularization image of 1024 pixels), of which {gb(counts.lora_training)} without activations"
            )
        full = counts.attention_training - counts.resident
        return (
            f"{lora}; full attention: {gb(counts.resident)} base model + {gb(full)} weights and optimizer, {UNKNOWN}; "
            "if memory is full, with gradient checkpointing and fewer rows at once"
        )

    def editing_line(self) -> str:
        """Memory of an edit."""
        prior = self.counts.editing - self.counts.resident
        return (
            f"{gb(self.counts.resident)} base model + {gb(prior)} weights that a prior changes; {UNKNOWN}; images are "
            "encoded and decoded in slices of one; if memory is full, with fewer prompts at once"
        )

    def workers_line(self) -> str:
        """Whether a worker for trainings of a LoRA and a worker for edits fit on the card together."""
        together = self.training + self.counts.editing
        need = f"a worker for trainings (LoRA) and one for edits need at least {gb(together)} together"
        if self.card is None:
            return f"no GPU is in use here; on a GPU, {need}"
        if together <= self.card:
            rest = gb(self.card - together)
            return f"{need}; this GPU has {gb(self.card)}, so that {rest} remain for what is unknown"
        one = f"run one worker for both, `lipe worker` without --queues ({need}; this GPU has {gb(self.card)})"
        if max(self.training, self.counts.editing) <= self.card:
            return one
        if max(self.counts.lora_training, self.counts.editing) <= self.card:
            return f"{one}; trainings then depend on what is done if memory is full, which was not measured"
        return f"this GPU has {gb(self.card)}, which is too little: use a larger one ({need})"


def gb(count: int) -> str:
    """Bytes as GB with one decimal."""
    return f"{count / 1e9:.1f} GB" if count >= 50_000_000 else "under 0.1 GB"
