"""The plan of GPU memory by phase, in lines.

Parameters are counted in the weight files. The tensors of a forward and a backward pass, the activations, were counted
for SDXL's size (`lipe_core.checkpoint.sdxl_memory`); for another size they are unknown. All figures are in GB, 10^9
bytes.
"""

from dataclasses import dataclass

from cli.doctor.memory_counts import WEIGHT_BYTES, MemoryCounts
from lipe_core.checkpoint import sdxl_memory
from lipe_core.checkpoint.sdxl_memory import RESERVE, TRAININGS

UNKNOWN = "activations come on top and are unknown for this size"


@dataclass(frozen=True)
class MemoryPlan:
    """The plan for one GPU. `captioner`: its number of parameters, None: unknown. `card`: bytes, None: no GPU.

    `feature_steps` is the number of steps in which an edit reads the source's features.
    """

    counts: MemoryCounts
    rank: int
    captioner: int | None
    card: int | None
    feature_steps: int = 14

    @property
    def available(self) -> int | None:
        """The bytes of the card without the reserve for libraries."""
        return None if self.card is None else self.card - RESERVE

    @property
    def editing(self) -> int:
        """The bytes of an edit of one row."""
        return self.counts.editing + (self._edit_work(1) if self.counts.is_sdxl else 0)

    @property
    def training(self) -> int:
        """The bytes of a training of a LoRA: of the first way that fits the card, or of the fastest one."""
        if not self.counts.is_sdxl:
            return self.counts.lora_training
        return self.counts.resident + self._ways("lora")[self._way("lora") or "plain"]

    def fits_two_workers(self) -> bool:
        """Whether a worker for trainings and one for edits fit on the card together; True without a card.

        The training is then as fast as on a card of its own.
        """
        if self.card is None:
            return True
        training = self._ways("lora")["plain"] if self.counts.is_sdxl else 0
        return max(self.counts.resident + training, self.training) + self.editing + 2 * RESERVE <= self.card

    def captioning_line(self) -> str:
        """Memory while a captioner works, which is on the GPU for that time only."""
        if self.captioner is None:
            return "unknown: the captioner is a hub id, or its files cannot be read"
        if not self.captioner:
            return "none: without LIPE_CAPTIONER, captions name the subject and no model writes them"
        alone = WEIGHT_BYTES * self.captioner
        work = sdxl_memory.CAPTION
        line = f"{gb(self.counts.resident)} base model + {gb(alone)} captioner + {gb(work)} for an image"
        together = self.counts.resident + alone + work
        if self.available is None:
            return f"{line}; if memory is full, the base model moves to main memory for this time"
        if together <= self.available:
            return f"{line}; both fit"
        fits = "which fits" if alone + work <= self.available else "which does not fit: use a smaller captioner"
        return f"{line}; the base model moves to main memory for this time, and {gb(alone + work)} remain, {fits}"

    def training_line(self) -> str:
        """Memory of a training, for both kinds of adapter."""
        counts, lora, full = self.counts, f"LoRA of rank {self.rank}", "full attention"
        if counts.bits == 8:
            alone = self._tuning_line(lora, "lora") if counts.is_sdxl else self._unknown_line(lora)
            return f"{alone}; {full}: not with LIPE_BASE_MODEL_BITS=8"
        if not counts.is_sdxl:
            weights = counts.attention_training - counts.resident
            return (
                f"{self._unknown_line(lora)}; {full}: {gb(counts.resident)} base "
                f"model + {gb(weights)} weights and optimizer, {UNKNOWN}{self._away}"
            )
        return "; ".join(self._tuning_line(name, kind) for name, kind in ((lora, "lora"), (full, "full_attention")))

    def editing_line(self) -> str:
        """Memory of an edit, how many rows fit at once, and how images are decoded."""
        counts = self.counts
        kind = "weights of a prior's LoRA" if counts.bits == 8 else "weights that a prior changes"
        prior = f"{gb(counts.resident)} base model + {gb(counts.editing - counts.resident)} {kind}"
        if not counts.is_sdxl:
            return f"{prior}; {UNKNOWN}{self._away}; images are encoded and decoded one by one"
        line = (
            f"{prior} + {gb(self.feature_steps * sdxl_memory.FEATURES_STEP)} features of the source + "
            f"{gb(sdxl_memory.EDIT_ROW)} for each row (prompt and seed)"
        )
        decoded = sdxl_memory.DECODED_IMAGE
        if self.card is None:
            return f"{line}; images are decoded one by one, {gb(decoded)}"
        tiles = sdxl_memory.needs_tiles(self.card, counts.resident, prior=0 if counts.bits == 8 else sdxl_memory.PRIOR)
        images = f"in tiles, {gb(sdxl_memory.DECODED_TILE)}" if tiles else f"one by one, {gb(decoded)}"
        rows = (self.card - RESERVE - counts.editing - self._edit_work(0)) // sdxl_memory.EDIT_ROW
        if rows < 1:
            return f"{line}; this GPU with {gb(self.card)} is too small: use a larger one"
        return f"{line}; {rows} rows fit at once, more are edited in chunks with one inversion; images decoded {images}"

    def workers_line(self) -> str:
        """Whether a worker for trainings of a LoRA and a worker for edits fit on the card together."""
        together = self.training + self.editing + 2 * RESERVE
        need = f"a worker for trainings (LoRA) and one for edits need {gb(together)} together"
        if self.card is None:
            return f"no GPU is in use here; on a GPU, {need}"
        if self.fits_two_workers():
            return f"two: {need}, and this GPU has {gb(self.card)}; `lipe up` starts both"
        alone = max(self.training, self.editing) + RESERVE
        if alone > self.card:
            return f"this GPU has {gb(self.card)}, which is too little: use a larger one ({gb(alone)} are needed)"
        return (
            f"one for both kinds, as `lipe up` starts it: {gb(alone)} of {gb(self.card)}; without it, "
            "`lipe worker --queues priors,edits`, or compose's profile one-gpu"
        )

    @property
    def _away(self) -> str:
        if not self.counts.text_encoder:
            return ""
        text = gb(WEIGHT_BYTES * self.counts.text_encoder)
        return f"; on a small GPU, the text encoder ({text} of the base model) leaves once prompts are encoded"

    def _unknown_line(self, name: str) -> str:
        return f"{name}: {gb(self.counts.lora_training)} with optimizer, {UNKNOWN}"

    def _edit_work(self, rows: int) -> int:
        return self.feature_steps * sdxl_memory.FEATURES_STEP + rows * sdxl_memory.EDIT_ROW

    def _ways(self, tuning: str) -> dict[str, int]:
        """The bytes beside the networks, by the ways in which the worker tries a training."""
        more = sdxl_memory.MULTIPLIED if self.counts.bits == 8 else 0
        return {way: work + more for way, work in TRAININGS[tuning].items()}

    def _way(self, tuning: str) -> str | None:
        """The first of the ways in which the worker tries a training that fits the card; None if none does."""
        ways = self._ways(tuning)
        if self.available is None:
            return next(iter(ways))
        return next((way for way, work in ways.items() if self.counts.resident + work <= self.available), None)

    def _tuning_line(self, name: str, tuning: str) -> str:
        ways = ", ".join(f"{gb(self.counts.resident + work)} {way}" for way, work in self._ways(tuning).items())
        if self.card is None:
            return f"{name}: {ways}"
        chosen = self._way(tuning)
        return f"{name}: {ways}; here {chosen}" if chosen else f"{name}: {ways}; too much for this GPU"


def gb(count: int) -> str:
    """Bytes as GB with one decimal."""
    return f"{count / 1e9:.1f} GB" if count >= 50_000_000 else "under 0.1 GB"
