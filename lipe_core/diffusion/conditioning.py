"""The network's inputs besides x_t and t: text embeddings, and SDXL's micro-conditioning.

https://arxiv.org/abs/2307.01952, section 2.2. A backbone without pooled text or sizes leaves them empty, of width 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lipe_core.shapes import RowIndices
from lipe_core.uploads import upload


@dataclass(frozen=True)
class Conditioning:
    """One row for each image of a batch.

    `prompt_embeds` are the hidden states of the text encoders, concatenated. In SDXL, `pooled_prompt_embeds` is the
    projection of the second encoder, and `time_ids` are (original height, original width, crop top, crop left, target
    height, target width) in pixels.
    """

    prompt_embeds: Float[Tensor, "b n d"]
    pooled_prompt_embeds: Float[Tensor, "b p"]
    time_ids: Float[Tensor, "b s"]

    def __len__(self) -> int:
        return len(self.prompt_embeds)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> "Conditioning":
        """The same rows on this device in this precision."""
        return self._each(lambda rows: rows.to(device, dtype))

    def select(self, rows: RowIndices) -> "Conditioning":
        """The rows with these indices, in this order; an index may repeat."""
        rows = upload(rows, self.prompt_embeds.device)
        return self._each(lambda tensor: tensor[rows])

    def expand(self, batch: int) -> "Conditioning":
        """The single row, repeated `batch` times."""
        if len(self) != 1:
            raise ValueError(f"only a single row can be expanded, this conditioning has {len(self)}")
        return self.select(torch.zeros(batch, dtype=torch.long))

    def repeat(self, times: int) -> "Conditioning":
        """Each row repeated `times` times, copies of a row adjacent."""
        return self.select(torch.arange(len(self)).repeat_interleave(times))

    @classmethod
    def concat(cls, parts: Sequence["Conditioning"]) -> "Conditioning":
        """The rows of all parts, in order."""
        return cls(
            torch.cat([part.prompt_embeds for part in parts]),
            torch.cat([part.pooled_prompt_embeds for part in parts]),
            torch.cat([part.time_ids for part in parts]),
        )

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Conditioning":
        return Conditioning(change(self.prompt_embeds), change(self.pooled_prompt_embeds), change(self.time_ids))
