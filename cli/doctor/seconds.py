"""The seconds of each phase, estimated from FLOPs and from the data sheet of the GPU."""

from dataclasses import dataclass

from lipe_core.checkpoint import sdxl_memory

EFFICIENCY = 0.3
"""Share of the data sheet's rate that the phases are assumed to reach."""

DATA_SHEETS = {
    "T4": 65, "V100": 125, "A10": 125, "L4": 121, "A100": 312, "A6000": 155, "L40S": 362, "H100": 989, "H200": 989,
    "RTX 3090": 71, "RTX 4090": 165,
}  # fmt: skip
"""Dense products in half precision with sums in float32, in TFLOP/s, by the word that names the GPU."""


@dataclass(frozen=True)
class Work:
    """The counts that decide the FLOPs: of a training, its regularization set, and an edit of one row."""

    training_steps: int
    training_rows: int
    images: int
    image_steps: int
    edit_evaluations: int
    edit_decodings: int = 8
    """Encoding and decoding in the masks, the reconstruction and the result, about."""

    @property
    def training(self) -> float:
        """FLOPs of a LoRA's training: the weights of the base model need no gradients, and a step costs two passes."""
        return 2 * self.training_steps * self.training_rows * sdxl_memory.EVALUATION_FLOPS

    @property
    def regularization(self) -> float:
        """FLOPs of the regularization set, which the first training of a class generates."""
        return 2 * self.images * self.image_steps * sdxl_memory.EVALUATION_FLOPS

    @property
    def edit(self) -> float:
        """FLOPs of an edit of one row."""
        images = self.edit_decodings * sdxl_memory.DECODING_FLOPS
        return self.edit_evaluations * sdxl_memory.EVALUATION_FLOPS + images


def data_sheet(card: str) -> int | None:
    """The TFLOP/s of a GPU with this name; None if no data sheet is recorded."""
    words = f" {card.replace('-', ' ')} "
    found = [rate for name, rate in DATA_SHEETS.items() if f" {name} " in words]
    return found[0] if found else None


def seconds_line(card: str | None, work: Work) -> str:
    """The estimate for people."""
    if card is None:
        return "no GPU is in use here"
    rate = data_sheet(card)
    if rate is None:
        return f"unknown: no data sheet of {card} is recorded; `lipe status` shows the seconds of finished jobs"
    parts = {"a training": work.training, "its class images": work.regularization, "an edit": work.edit}
    each = ", ".join(f"{name} {flops / (rate * 1e12 * EFFICIENCY):.0f} s" for name, flops in parts.items())
    return f"estimate, not measured: {each}, at {EFFICIENCY:.0%} of the {rate} TFLOP/s in the data sheet of {card}"
