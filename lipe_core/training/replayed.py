"""The gradients of a batch by a CUDA graph: the host makes one call for the forward and the backward pass."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from lipe_core.backbone import BaseModel
from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.graphs import Graphs, Tensors
from lipe_core.training.batches import Batch
from lipe_core.training.loss_scale import scaled

_PREFIX = "conditioning."


def replayed_backward(
    model: BaseModel, graphs: Graphs, batch: Batch, loss_of: Callable[[Batch], Float[Tensor, ""]]
) -> Float[Tensor, ""]:
    """Run the backward pass of the batch's loss, which is returned. Gradients must have fixed places in memory.

    Batches of the same shapes must have the same `loss_of`, as those of one training do.
    """

    def work(inputs: Tensors) -> Tensors:
        conditions = {name.removeprefix(_PREFIX): each for name, each in inputs.items() if name.startswith(_PREFIX)}
        others = {name: each for name, each in inputs.items() if not name.startswith(_PREFIX)}
        loss = loss_of(Batch(**others, conditioning=Conditioning(**conditions)))
        scaled(loss, model.dtype).backward()  # type: ignore[no-untyped-call]
        return {"loss": loss.detach()}

    conditioning = vars(batch.conditioning.to(model.device, model.dtype))
    inputs = {name: tensor for name, tensor in vars(batch).items() if isinstance(tensor, Tensor)}
    inputs |= {f"{_PREFIX}{name}": tensor for name, tensor in conditioning.items()}
    return graphs.run("training", work, inputs)["loss"]
