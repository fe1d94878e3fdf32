"""Checkpoints of a training: a stopped training resumes with exactly the weights of an unbroken one."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from lipe_core.errors import InvalidCheckpoint, TrainingDiverged
from lipe_core.training.dataset import write_tensors

Weights = Mapping[str, torch.nn.Parameter]

_LENGTH_BYTES = 8
"""A safetensors file begins with the length of its header, which has the metadata."""
_MAX_HEADER_BYTES = 100_000_000
"""As in safetensors; the first bytes of a truncated file may spell any number."""
_MOMENTS = ("exp_avg", "exp_avg_sq")
"""AdamW's tensors of a weight's shape."""


@dataclass
class TrainState:
    """The progress of a training: the number of steps done, and the loss of each; the newest are `unread`.

    The rest of its state is in the weights and in the optimizer's moments.
    """

    step: int = 0
    losses: list[float] = field(default_factory=list)

    unread: list[Tensor] = field(default_factory=list)

    def advance(self, loss: Tensor) -> None:
        """Count one step."""
        self.step += 1
        self.unread.append(loss)

    def read_losses(self) -> None:
        """Read the losses of the steps since the last call. Raises TrainingDiverged for one that is not finite.

        The host waits here until the device has done these steps.
        """
        read = torch.stack(self.unread).tolist() if self.unread else []
        self.unread.clear()
        for loss in read:
            if not math.isfinite(loss):
                raise TrainingDiverged(f"the loss is {loss} at step {len(self.losses)}: lower learning_rate")
            self.losses.append(loss)


@dataclass(frozen=True)
class Checkpoint:
    """The checkpoint file of one training; nothing is stored without a file.

    `parts` splits a weight, or a tensor of its shape, into the tensors that the file has, which share its memory.
    """

    file: Path | None
    config: Mapping[str, Any]
    weights: Weights
    optimizer: torch.optim.Optimizer
    parts: Callable[[str, Tensor], Mapping[str, Tensor]]

    def save(self, state: TrainState) -> None:
        """Write the file atomically."""
        state.read_losses()
        if self.file is None:
            return
        progress = {"step": state.step, "losses": state.losses}
        tensors: dict[str, Tensor] = {}
        for name, weight in self.weights.items():
            for kind, value in {"weight": weight, **self.optimizer.state[weight]}.items():
                views = (
                    self.parts(name, value.detach()) if value.ndim else dict.fromkeys(self.parts(name, weight), value)
                )
                tensors |= {f"{kind}.{part}": view for part, view in views.items()}
        write_tensors(
            {name: tensor.to("cpu", copy=True) for name, tensor in tensors.items()},
            self.file,
            {"config": json.dumps(dict(self.config)), "progress": json.dumps(progress)},
        )

    def load(self) -> TrainState:
        """Load weights and moments from the file and return its progress; a new state if there is no file.

        Raises InvalidCheckpoint if other settings wrote it.
        """
        if self.file is None or not self.file.exists():
            return TrainState()
        with safe_open(self.file, framework="pt") as stored:
            metadata = stored.metadata()
            if metadata["config"] != json.dumps(dict(self.config)):
                raise InvalidCheckpoint(f"{self.file} belongs to a training with other settings: remove it to restart")
            for name, weight in self.weights.items():
                values = {"weight": weight.data, **{kind: torch.zeros_like(weight) for kind in _MOMENTS}}
                for kind, value in values.items():
                    for part, view in self.parts(name, value.detach()).items():
                        view.copy_(stored.get_tensor(f"{kind}.{part}"))
                steps = stored.get_tensor(f"step.{next(iter(self.parts(name, weight)))}").to(weight.device)
                self.optimizer.state[weight] = {"step": steps, **{kind: values[kind] for kind in _MOMENTS}}
            return TrainState(**json.loads(metadata["progress"]))


def saved_step(content: BufferedIOBase) -> int:
    """The number of steps that a checkpoint's content has done. Raises InvalidCheckpoint if it is none."""
    try:
        length = int.from_bytes(content.read(_LENGTH_BYTES), "little")
        header = json.loads(content.read(length) if length <= _MAX_HEADER_BYTES else b"")
        return int(json.loads(header["__metadata__"]["progress"])["step"])
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        raise InvalidCheckpoint("the file is no checkpoint of a training") from error
