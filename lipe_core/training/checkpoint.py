"""Checkpoints of a training: a stopped training resumes with exactly the weights of an unbroken one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from lipe_core.errors import InvalidCheckpoint
from lipe_core.training.dataset import write_tensors

Weights = Mapping[str, torch.nn.Parameter]


@dataclass
class TrainState:
    """The progress of a training: the number of steps done, and the loss of each.

    The rest of its state is in the weights and in the optimizer's moments.
    """

    step: int = 0
    losses: list[float] = field(default_factory=list)

    def advance(self, loss: float) -> None:
        """Count one step."""
        self.step += 1
        self.losses.append(loss)


@dataclass(frozen=True)
class Checkpoint:
    """The checkpoint file of one training; nothing is stored without a file."""

    file: Path | None
    config: Mapping[str, Any]
    weights: Weights
    optimizer: torch.optim.Optimizer

    def save(self, state: TrainState) -> None:
        """Write the file atomically."""
        if self.file is None:
            return
        tensors: dict[str, Tensor] = {f"weight.{name}": weight for name, weight in self.weights.items()}
        for name, weight in self.weights.items():
            tensors |= {f"{moment}.{name}": value for moment, value in self.optimizer.state[weight].items()}
        write_tensors(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            self.file,
            {"config": json.dumps(dict(self.config)), "progress": json.dumps(vars(state))},
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
                weight.data.copy_(stored.get_tensor(f"weight.{name}"))
                self.optimizer.state[weight] = {
                    moment: stored.get_tensor(f"{moment}.{name}").to(weight.device)
                    for moment in ("step", "exp_avg", "exp_avg_sq")
                }
            return TrainState(**json.loads(metadata["progress"]))
