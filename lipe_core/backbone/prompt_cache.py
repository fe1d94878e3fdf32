"""Encodings of prompts that are made once and kept, for work that reads a prompt several times, such as an edit."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from lipe_core.backbone.base_model import BaseModel
from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.shapes import Size

_Call = tuple[tuple[str, ...], tuple[float, ...]]


@dataclass(frozen=True)
class PromptCache:
    """A model's encodings, by the prompts of a call and the sizes that the network reads with them.

    Text encoders may give a prompt other last bits in another batch, so that only a repeated call takes a kept one.
    They must not change while the cache is used.
    """

    model: BaseModel
    _kept: dict[_Call, Conditioning] = field(default_factory=dict)

    def encode(self, prompts: Sequence[str], *, size: Size) -> Conditioning:
        """As `BaseModel.encode_prompt`."""
        call = self._call(prompts, size)
        if call not in self._kept:
            self._kept[call] = self.model.encode_prompt(prompts, size=size)
        return self._kept[call]

    def read_ahead(self, calls: Iterable[Sequence[str]], *, size: Size) -> None:
        """Make the encodings of further calls. Text encoders that lie in main memory move to the device once."""
        missing = [prompts for prompts in calls if self._call(prompts, size) not in self._kept]
        if missing:
            with self.model.text_encoders_ready():
                for prompts in missing:
                    self.encode(prompts, size=size)

    def _call(self, prompts: Sequence[str], size: Size) -> _Call:
        return tuple(prompts), self.model.size_conditioning(size, size)
