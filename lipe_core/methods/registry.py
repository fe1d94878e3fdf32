"""The systems that LIPE is compared with, and LIPE's own NIMA among them: each a config and an `edit` of one shape.

They are written from their papers, with the papers' defaults, over the same base model, schedule and masks.
Evaluations are counted alike, and none puts the source's pixels back unless its paper does.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from lipe_core.methods import ddim_edit, dreamctrl, imagic, ledits, masactrl, prompt_to_prompt, sdedit
from lipe_core.methods.mystyle import edit as mystyle
from lipe_core.methods.nima import edit as nima
from lipe_core.methods.nima.config import NimaConfig
from lipe_core.methods.request import Edit


class Method(NamedTuple):
    """`edit(model, request, config, *, prior=None, on_step=no_progress)`, and the class of its config.

    One that `has_previews` takes an `on_preview`, too (`editor.OnPreview`); one that `needs_references` looks at the
    request's own, and has no use for a prior.
    """

    config: type[Any]
    edit: Callable[..., list[Edit]]
    has_previews: bool = False
    needs_references: bool = False


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "nima": Method(NimaConfig, nima.edit, has_previews=True),
        "ddim": Method(ddim_edit.DdimConfig, ddim_edit.edit),
        "sdedit": Method(sdedit.SdeditConfig, sdedit.edit),
        "prompt_to_prompt": Method(prompt_to_prompt.PromptToPromptConfig, prompt_to_prompt.edit),
        "masactrl": Method(masactrl.MasaCtrlConfig, masactrl.edit),
        "dreamctrl": Method(dreamctrl.DreamCtrlConfig, dreamctrl.edit),
        "imagic": Method(imagic.ImagicConfig, imagic.edit),
        "ledits": Method(ledits.LeditsConfig, ledits.edit),
        "mystyle": Method(mystyle.MyStyleConfig, mystyle.edit, needs_references=True),
    }
)
