"""Regions of a network compiled by `torch.compile`: before the first job, and never inside one.

https://docs.pytorch.org/tutorials/recipes/regional_compilation.html. A region is a module that nothing replaces, hooks
or trains, such as a feed-forward layer. Blocks of one kind share their code. Attention is none: it is recorded and
exchanged. Work of a kind that was not compiled runs eagerly.
"""

import logging
import os
import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.fx.experimental import _config as symbolic_shapes_config

from lipe_core.memory import free_memory

CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
"""The variable of the environment that names the folder of compiled code. It must be set before torch is imported."""
_MOST_VARIANTS = 256
"""Variants of one kind of region: by the sizes of its weights, by one or more rows, and with gradients."""

log = logging.getLogger(__name__)


def cannot_compile(folder: Path) -> str:
    """The reason why this machine cannot compile with its code in `folder`, which is made; empty if it can."""
    if not any(shutil.which(program) for program in (os.environ.get("CXX", "g++"), "clang++")):
        return "there is no C++ compiler: install g++"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"the folder of compiled code cannot be made: {error}"
    if not os.access(folder, os.W_OK):
        return f"the folder {folder} cannot be written"
    if os.statvfs(folder).f_flag & os.ST_NOEXEC:
        return f"nothing in the folder {folder} may be executed: its file system is mounted with noexec"
    return ""


@dataclass
class CompiledRegions:
    """The regions of one network. `eager_because` says why they run eagerly, if they do.

    `backend` is torch's name of a compiler, or a function that compiles.
    """

    regions: Sequence[Any]
    backend: str | Callable[..., Any] = "inductor"
    eager_because: str = ""

    def compile(self, work: Callable[[], None]) -> None:
        """Compile while `work` runs. Its kinds of calls are compiled, with other numbers of rows and sizes of images.

        From then on nothing is compiled in this process. If compiling fails, the regions run eagerly.
        """
        if not self.regions:
            self.eager_because = "this kind of base model has no regions that can be compiled"
        if self.eager_because:
            return
        torch.compiler.set_stance("default")
        for region in self.regions:
            region.compile(backend=self.backend, dynamic=True, fullgraph=True)
        limits = torch._dynamo.config.patch(recompile_limit=_MOST_VARIANTS, accumulated_recompile_limit=_MOST_VARIANTS)
        # Otherwise sides that are equal in a square image, or to a number of channels, must be equal in each call.
        shapes = symbolic_shapes_config.patch(use_duck_shape=False)  # type: ignore[attr-defined]
        try:
            with limits, shapes, warnings.catch_warnings():
                warnings.filterwarnings("ignore", "The .grad attribute of a Tensor", UserWarning)  # dynamo reads it
                work()
        except Exception as error:  # the compilers raise errors of many kinds
            self.eager_because = f"compiling failed: {' '.join(str(error).split())[:300]}"
        if self.eager_because:  # outside the handler, whose traceback keeps tensors alive
            self.undo()
            free_memory()
        torch.compiler.set_stance("eager_on_recompile")

    def undo(self) -> None:
        """Run the regions eagerly, and allow compiling again."""
        for region in self.regions:
            region._compiled_call_impl = None
        torch._dynamo.reset()
        torch.compiler.set_stance("default")
