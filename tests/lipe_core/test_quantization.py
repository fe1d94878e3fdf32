"""Linear layers with 8-bit weights: their error and gradients, and a base model that has them."""

import inspect
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from lipe_core import base_models, quantization, sdxl
from lipe_core.adapters import lora
from lipe_core.adapters.full_attention import attention_weights, difference_name
from lipe_core.adapters.low_rank import LowRank, low_rank_linear
from lipe_core.adapters.prior import Prior
from lipe_core.captioning import vlm
from lipe_core.errors import InvalidParameters, InvalidPrior, InvalidRequest
from lipe_core.graphs import Graphs
from lipe_core.methods.imagic import ImagicConfig
from lipe_core.methods.request import EditRequest
from lipe_core.methods.request_check import check_request
from lipe_core.quantization import QuantizedLinear, multiplied, quantize, weight_bytes
from lipe_core.sdxl import BaseModel
from lipe_core.subject import Subject
from lipe_core.training import learn
from lipe_core.training.config import PriorConfig
from lipe_core.training.learn import LearnRequest
from lipe_core.training.regularization import RegularizationConfig
from menagerie.draw import render
from menagerie.subjects import fresh
from menagerie.vision_models import CAPTIONER
from tests.support.editing import SOURCE, TARGET, make_prior

SUBJECT = Subject("sks", "dog")
KINDS = (torch.int8, torch.float8_e4m3fn)


@pytest.fixture(scope="module")
def small(tiny_checkpoint: Path) -> BaseModel:
    loaded = base_models.load(tiny_checkpoint, bits=8)
    assert isinstance(loaded, BaseModel)
    return loaded


@pytest.fixture
def layer() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(48, 16).requires_grad_(False)


def test_the_output_is_within_half_a_step_of_each_weight(layer: nn.Linear) -> None:
    inputs = torch.randn(5, 48)
    layer.weight[3] = 0
    steps = layer.weight.abs().amax(dim=1) / 127
    bound = 0.5 * steps * inputs.abs().sum(dim=1, keepdim=True)
    difference = (QuantizedLinear(layer)(inputs) - layer(inputs)).abs()
    assert (difference <= bound + 1e-5).all()
    assert difference.max() > 0


def test_a_half_precision_scale_adds_no_error_to_a_whole_row() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(2048, 16, dtype=torch.bfloat16).requires_grad_(False)
    weight, small = layer.weight.float(), QuantizedLinear(layer)
    found = multiplied(small.weight, small.scale, torch.float32)
    along = (found * weight).sum(dim=1) / weight.square().sum(dim=1)
    assert (along - 1).abs().max() < 0.001  # rounded to bfloat16 afterwards, a scale is up to 0.0039 off


@pytest.mark.parametrize("kind", KINDS)
def test_the_input_gets_the_gradient_of_the_multiplied_weight_which_is_not_kept(
    layer: nn.Linear, kind: torch.dtype
) -> None:
    small, kept = QuantizedLinear(layer, kind), list[Tensor]()
    x = torch.randn(2, 3, 48, requires_grad=True)

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = small(x)
    towards = torch.randn_like(output)
    (output * towards).sum().backward()
    torch.testing.assert_close(x.grad, towards @ multiplied(small.weight, small.scale, torch.float32))
    assert all(tensor.dtype == kind or tensor.numel() <= 16 for tensor in kept)


def test_a_lora_is_trained_beside_an_8_bit_weight_as_beside_its_product(layer: nn.Linear) -> None:
    small, results = QuantizedLinear(layer), []
    full = multiplied(small.weight, small.scale, torch.float32)
    for weight, scale in ((small.weight, small.scale), (full, None)):
        torch.manual_seed(1)
        x, down, up = torch.randn(3, 48, requires_grad=True), torch.randn(2, 48), torch.randn(16, 2)
        added = LowRank(down, up, torch.zeros(2, 48), torch.zeros(16, 2), 0.5, torch.ones(1, requires_grad=True))
        low_rank_linear(x, weight, small.bias, added, scale).square().sum().backward()
        results.append((x.grad, added.d_down, added.d_up))
    torch.testing.assert_close(results[0], results[1])
    assert results[0][1].abs().max() > 0


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # dynamo does so itself
def test_a_layer_is_traced_whole(layer: nn.Linear, monkeypatch: pytest.MonkeyPatch) -> None:
    # The checks of types in tests cannot be traced inside an operation with its own gradient.
    for owner, name in ((quantization._FrozenLinear, "forward"), (quantization._FrozenLinear, "backward")):
        monkeypatch.setattr(owner, name, staticmethod(inspect.unwrap(getattr(owner, name))))
    monkeypatch.setattr(quantization, "multiplied", inspect.unwrap(multiplied))
    small, x = QuantizedLinear(layer), torch.randn(3, 48, requires_grad=True)
    traced = torch.compile(small, backend="aot_eager", fullgraph=True, dynamic=True)
    torch.testing.assert_close(traced(x), small(x))
    torch.testing.assert_close(*(torch.autograd.grad(each(x).sum(), x) for each in (traced, small)))
    torch._dynamo.reset()


def test_all_linear_layers_are_replaced_except_those_with_shared_weights() -> None:
    network = nn.ModuleDict({"words": nn.Embedding(20, 8), "inner": nn.Sequential(nn.Linear(8, 8), nn.GELU())})
    network["head"] = nn.Linear(8, 20, bias=False)
    network["head"].weight = network["words"].weight
    quantize(network)
    kinds = {name: type(module) for name, module in network.named_modules()}
    assert kinds["inner.0"] is QuantizedLinear
    assert kinds["head"] is nn.Linear


def test_the_miniature_captioner_writes_the_same_in_a_third_of_the_memory() -> None:
    image = Image.fromarray(render(next(iter(fresh(1, 5))).test))
    full, small = vlm.load(CAPTIONER), vlm.load(CAPTIONER, bits=8)
    assert weight_bytes(small.network) < 0.45 * weight_bytes(full.network)
    assert vlm.captioner(small)([image], SUBJECT) == vlm.captioner(full)([image], SUBJECT)


def test_blocks_and_text_encoders_of_a_base_model_are_rounded_and_predict_nearly_the_same(
    model: BaseModel, small: BaseModel
) -> None:
    rounded = {name for name, layer in small.unet.named_modules() if isinstance(layer, QuantizedLinear)}
    assert rounded == set(lora.linear_weights(model))
    assert not any(isinstance(layer, QuantizedLinear) for layer in small.vae.modules())
    for text_encoder in small.text_encoders:
        assert not any(type(layer) is nn.Linear for layer in text_encoder.modules())
    wanted, found = prediction(model), prediction(small)
    assert 0 < (found - wanted).norm() / wanted.norm() < 0.05
    assert torch.equal(found, prediction(small))
    assert small.fingerprint == model.fingerprint


def test_a_prior_changes_both_models_alike_and_is_taken_off(model: BaseModel, small: BaseModel) -> None:
    prior, changes = make_prior(model), []
    for each in (model, small):
        base = prediction(each)
        with lora.use_adapter(each, prior) as base_weights:
            adapted = prediction(each)
            with base_weights():
                assert torch.equal(prediction(each), base)
            assert torch.equal(prediction(each), adapted)
        assert torch.equal(prediction(each), base)
        changes.append(adapted - base)
    assert (changes[0] - changes[1]).norm() < 0.1 * changes[0].norm()


def test_with_graphs_priors_are_written_to_places_that_stay(small: BaseModel) -> None:
    recording = replace(small, graphs=Graphs(tuple(small.unet.parameters())))
    large, less = make_prior(small, rank=4), make_prior(small, rank=2)
    with lora.use_adapter(small, less):
        wanted = prediction(small)
    base, places = prediction(small), []
    for prior in (large, less, large):
        with lora.use_adapter(recording, prior):
            places.append([weight.data_ptr() for weight in small.unet.parameters()])
            if prior is less:
                torch.testing.assert_close(prediction(recording), wanted)
        torch.testing.assert_close(prediction(recording), base)
    assert places[0] == places[1] == places[2]
    reset(small)


def test_a_shared_projection_of_prompts_follows_the_prior(small: BaseModel) -> None:
    prompts = sdxl.encode_prompt(small, ["a sks dog"], size=(64, 64))
    x_t, denoise = torch.zeros(1, *small.latent_shape((64, 64))), sdxl.denoiser(small, prompts)
    base = denoise(x_t, 500)
    with lora.use_adapter(small, make_prior(small)):
        adapted = denoise(x_t, 500)
        assert torch.equal(adapted, sdxl.denoiser(small, prompts)(x_t, 500))
    assert not torch.allclose(adapted, base, atol=1e-4)
    assert torch.equal(denoise(x_t, 500), base)


def test_a_training_has_nearly_the_losses_of_the_full_weights(model: BaseModel, small: BaseModel) -> None:
    config = PriorConfig(steps=4, rank=4, alpha=4, preservation_batch_size=0)
    full, rounded = (learn.learn(each, learn_request(), config).manifest.losses for each in (model, small))
    assert full != rounded == pytest.approx(full, rel=0.05)


def test_work_that_trains_or_replaces_whole_weights_is_refused_before_it_starts(
    model: BaseModel, small: BaseModel
) -> None:
    config = PriorConfig(tuning="full_attention")
    with pytest.raises(InvalidParameters, match="train a LoRA, or set LIPE_BASE_MODEL_BITS=16"):
        learn.prepare(small, learn_request(), config, RegularizationConfig())
    differences = {
        f"unet.{difference_name(name)}": torch.zeros_like(weight) for name, weight in attention_weights(model).items()
    }
    full = Prior(differences, make_prior(model).manifest)
    with pytest.raises(InvalidPrior, match="LIPE_BASE_MODEL_BITS=16"), lora.use_adapter(small, full):
        pass
    request = EditRequest(learn_request().references[0], SOURCE, (TARGET,), SUBJECT)
    with pytest.raises(InvalidRequest, match="imagic trains all weights"):
        check_request(small, "imagic", request, ImagicConfig())
    check_request(model, "imagic", request, ImagicConfig())


def learn_request() -> LearnRequest:
    image = Image.fromarray(render(next(iter(fresh(1, 5))).test)).resize((64, 64))
    return LearnRequest(SUBJECT, (image,), "animal", captions=("a photo of a sks dog",))


def prediction(model: BaseModel) -> Tensor:
    x_t = torch.randn(1, *model.latent_shape((64, 64)), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return sdxl.predict(model, x_t, torch.tensor([500]), sdxl.encode_prompt(model, ["a sks dog"], size=(64, 64)))


def reset(model: BaseModel) -> None:
    """Take the places of priors away, which recorded graphs need."""
    for layer in model.unet.modules():
        if isinstance(layer, QuantizedLinear):
            layer.down.data, layer.up.data = layer.down.data[:0], layer.up.data[:, :0]
