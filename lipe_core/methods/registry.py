"""All editing methods: LIPE's own NIMA and the methods that it is compared with.

A method is a module with a config, a frozen dataclass of its settings, and a function `edit`:

    edit(model, request, config, *, prior=None, on_step=no_progress) -> list[Edit]

`edit` returns one edit for each target prompt and seed, prompts outermost. Each row equals the same prompt and seed
alone. It counts its network evaluations, calls `on_step` after each step, and restores the model even if `on_step`
raises. A config raises InvalidRequest for invalid settings, and `edit` for a request that the method cannot carry out.
`EditSession` does the parts that all methods share.

The methods are written from their papers, with the papers' defaults, over the same base model, schedule and masks.
None returns the source's pixels unless its paper does.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from lipe_core.methods import (
    ddim_edit,
    dreamctrl,
    imagic,
    ledits,
    masactrl,
    nima_single_pass,
    prompt_to_prompt,
    reference_tokens,
    sdedit,
)
from lipe_core.methods.mystyle import edit as mystyle
from lipe_core.methods.nima import edit as nima
from lipe_core.methods.nima.config import NimaConfig
from lipe_core.methods.request import Edit


class Method(NamedTuple):
    """A method's config class and its `edit`.

    With `has_previews`, `edit` also takes `on_preview` (`request.OnPreview`). With `reads_references`, it may read the
    request's references. Without `has_prior`, it ignores a prior. With `has_negative_prompt`, its guidance leads away
    from the request's. With `has_chunks`, it takes fewer rows at once by itself if the memory is full, with one
    inversion for all. With `has_resources`, `edit` also takes `resources.Resources`. With `trains_network`, it trains
    all weights of the network for each edit. `families` are those of the base models that it is made for; None means
    all.
    """

    config: type[Any]
    edit: Callable[..., list[Edit]]
    has_previews: bool = False
    reads_references: bool = False
    has_prior: bool = True
    has_negative_prompt: bool = True
    has_chunks: bool = False
    has_resources: bool = False
    trains_network: bool = False
    families: tuple[str, ...] | None = None

    def fits(self, family: str) -> bool:
        """Whether the method is made for base models of this family."""
        return self.families is None or family in self.families


_SDXL = ("sdxl",)
"""Methods that read or replace the cross-attention of SDXL's U-Net."""
_FLUX2 = ("flux2",)
"""Methods for networks that read further images as tokens."""

METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "nima": Method(NimaConfig, nima.edit, has_previews=True, has_chunks=True, has_resources=True),
        "nima_single_pass": Method(nima_single_pass.NimaSinglePassConfig, nima_single_pass.edit),
        "ddim": Method(ddim_edit.DdimConfig, ddim_edit.edit),
        "sdedit": Method(sdedit.SdeditConfig, sdedit.edit),
        "prompt_to_prompt": Method(prompt_to_prompt.PromptToPromptConfig, prompt_to_prompt.edit, families=_SDXL),
        "masactrl": Method(masactrl.MasaCtrlConfig, masactrl.edit, families=_SDXL),
        "dreamctrl": Method(dreamctrl.DreamCtrlConfig, dreamctrl.edit, families=_SDXL),
        "imagic": Method(imagic.ImagicConfig, imagic.edit, trains_network=True),
        "ledits": Method(ledits.LeditsConfig, ledits.edit, has_negative_prompt=False, families=_SDXL),
        "mystyle": Method(
            mystyle.MyStyleConfig, mystyle.edit, reads_references=True, has_prior=False, has_negative_prompt=False
        ),
        "reference_tokens": Method(
            reference_tokens.ReferenceTokensConfig, reference_tokens.edit, reads_references=True, families=_FLUX2
        ),
    }
)
