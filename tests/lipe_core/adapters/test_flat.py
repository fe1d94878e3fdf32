"""A LoRA in one tensor trains as its matrices do one by one."""

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor

from lipe_core import sdxl
from lipe_core.adapters import lora
from lipe_core.adapters.flat import FlatWeights
from lipe_core.sdxl import BaseModel

MATRICES = {"a": torch.arange(6.0).view(2, 3), "b": torch.arange(4.0).view(4, 1)}


def test_views_have_the_values_and_shapes_of_the_matrices_and_share_the_memory() -> None:
    flat = FlatWeights.of(MATRICES, torch.float32, 1.0)
    views = flat.views(flat.master.data)
    assert {name: view.tolist() for name, view in views.items()} == {n: m.tolist() for n, m in MATRICES.items()}
    flat.master.data.zero_()
    assert not any(view.any() for view in views.values())
    assert flat.shadow.data_ptr() == flat.master.data_ptr()  # float32 needs no copy


def test_a_shadow_of_lower_precision_follows_the_master_when_it_is_published() -> None:
    flat = FlatWeights.of(MATRICES, torch.bfloat16, 1.0)
    flat.master.data.fill_(3.0)
    assert flat.shadow.tolist() == torch.cat([m.flatten() for m in MATRICES.values()]).tolist()
    flat.publish()
    assert flat.shadow.eq(3.0).all()


def test_gradients_of_several_backward_passes_add_up_in_float32_with_their_scale() -> None:
    flat = FlatWeights.of(MATRICES, torch.bfloat16, 0.5)
    for value in (256.0, 1.0):  # their sum is no bfloat16 number
        flat.gradient.fill_(value)
        flat.collect()
    assert flat.master.grad is not None
    assert flat.master.grad.eq(128.5).all()


def test_the_gradient_is_that_of_the_layers_of_peft(model: BaseModel) -> None:
    cond = sdxl.encode_prompt(model, ["a sks dog"], size=(64, 64))
    cond = type(cond)(*(each.detach() for each in (cond.prompt_embeds, cond.pooled_prompt_embeds, cond.time_ids)))
    x_t = torch.randn(1, *model.latent_shape((64, 64)), generator=torch.Generator().manual_seed(0))

    def backward() -> None:
        sdxl.predict(model, x_t, torch.tensor([500]), cond).square().mean().backward()

    with lora.trainable_weights(model, "lora", rank=4, alpha=8.0, seed=1) as trainable:
        (master,) = trainable.weights.values()
        with torch.no_grad():
            master.add_(torch.randn(master.shape, generator=torch.Generator().manual_seed(2)), alpha=0.05)
        trainable.publish()
        backward()
        trainable.collect()
        assert master.grad is not None
        parameters = lora.adapter_parameters(model)
        ours: dict[str, Tensor] = trainable.parts("adapter", master.grad)
        for layer in model.unet.modules():
            if isinstance(layer, LoraLayer):
                del layer.forward  # the fused operation
        for weight in parameters.values():
            weight.requires_grad_(True)
        backward()
        assert ours.keys() == parameters.keys()
        for name, weight in parameters.items():
            torch.testing.assert_close(ours[name], weight.grad, rtol=1e-4, atol=1e-7)
        assert master.grad.abs().max() > 1e-4
