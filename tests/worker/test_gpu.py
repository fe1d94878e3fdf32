"""Fallbacks when the GPU's memory is full, and the cache of priors."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from sqlalchemy import Engine

from ledger.settings import Settings
from lipe_core import backbone, sdxl
from lipe_core.adapters import lora
from lipe_core.adapters.prior import Manifest, save_prior
from lipe_core.errors import InvalidModel
from lipe_core.quantization import is_quantized
from tests.support.tiny_checkpoint import write_checkpoint
from tests.support.tiny_klein import write_klein
from worker import gpu
from worker.context import make_context
from worker.gpu import Gpu, GpuOutOfMemory, cpu_offloaded, reduced_memory, with_memory_fallbacks


def full() -> str:
    raise torch.OutOfMemoryError("full")


def test_the_first_variant_that_fits_is_used() -> None:
    assert with_memory_fallbacks([lambda: "first", full]) == "first"
    assert with_memory_fallbacks([full, lambda: "second"]) == "second"


def test_a_job_that_never_fits_is_refused_and_other_errors_propagate() -> None:
    with pytest.raises(GpuOutOfMemory):
        with_memory_fallbacks([full, full])
    with pytest.raises(ZeroDivisionError):
        with_memory_fallbacks([lambda: 1 / 0, lambda: "second"])


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Gpu:
    """The tiny checkpoint on the CPU."""
    folder = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(folder)
    return Gpu(str(folder), device="cpu")


def test_the_base_model_is_loaded_once_and_its_name_has_no_path(device: Gpu) -> None:
    assert device.base_model() is device.base_model()
    assert device.name == Path(device.checkpoint).name


def test_reduced_memory_takes_slices_and_tiles_and_is_undone(device: Gpu) -> None:
    model = device.base_model()
    before = vars(model.vae).copy()
    with reduced_memory(model):
        assert model.vae.use_slicing
        assert (model.vae.use_tiling, model.vae.tile_sample_min_size) == (True, model.native_size // 2)
        assert model.network.is_gradient_checkpointing
        tiled = sdxl.decode(model, torch.zeros(2, *model.latent_shape((64, 64))))
        assert [image.size for image in tiled] == [(64, 64)] * 2
    assert not model.network.is_gradient_checkpointing
    assert {name: vars(model.vae)[name] for name in before} == before


def test_a_klein_works_with_less_memory_and_leaves_the_gpu(tmp_path: Path) -> None:
    write_klein(tmp_path)
    model = Gpu(str(tmp_path), device="cpu").base_model()
    with reduced_memory(model):
        assert model.network.is_gradient_checkpointing
        (image,) = backbone.decode(model, torch.zeros(1, *model.latent_shape((64, 64))))
        assert image.size == (64, 64)
    assert not model.network.is_gradient_checkpointing
    with cpu_offloaded(model):
        assert {network.device.type for network in model.networks} == {"cpu"}


def test_the_priors_used_last_stay_in_memory(device: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "PRIOR_CACHE_BYTES", 2 * torch.zeros(1).nbytes)
    fetched: list[str] = []

    def fetch(name: str) -> Callable[[Path], None]:
        def write(folder: Path) -> None:
            fetched.append(name)
            _write_prior(device, folder)

        return write

    for name in ("a", "b", "a", "c", "a", "b"):
        device.prior(name, fetch(name))
    assert fetched == ["a", "b", "c", "b"]


def test_a_prior_larger_than_the_cache_is_used_all_the_same(device: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "PRIOR_CACHE_BYTES", 0)
    prior = device.prior("a", partial(_write_prior, device))
    assert prior.adapter["lora"].tolist() == [0.0]


def _write_prior(device: Gpu, folder: Path) -> None:
    save_prior({"lora": torch.zeros(1)}, _manifest(device), folder)


def _manifest(device: Gpu) -> Manifest:
    return Manifest(
        token="sks",
        class_noun="dog",
        base_model=device.name,
        revision=None,
        fingerprint=device.base_model().fingerprint,
        captions=(),
        class_prompts=(),
        config={},
        losses=(),
    )


def test_the_setting_lets_a_worker_load_a_distilled_klein(settings: Settings, engine: Engine, tmp_path: Path) -> None:
    write_klein(tmp_path, is_distilled=True)
    wanted = settings.model_copy(update={"base_model": str(tmp_path), "device": "cpu", "data_dir": tmp_path / "data"})
    with pytest.raises(InvalidModel, match="LIPE_ALLOW_DISTILLED=true"):
        make_context(wanted, engine, lambda: False).gpu.base_model()
    allowed = wanted.model_copy(update={"allow_distilled": True})
    assert make_context(allowed, engine, lambda: False).gpu.base_model().family == "flux2"


def test_the_setting_rounds_the_base_model_to_8_bits(settings: Settings, engine: Engine, tmp_path: Path) -> None:
    write_klein(tmp_path)
    own = {"base_model": str(tmp_path), "device": "cpu", "data_dir": tmp_path / "data", "base_model_bits": 8}
    model = make_context(settings.model_copy(update=own), engine, lambda: False).gpu.base_model()
    assert is_quantized(model.network)
    assert model.device == torch.device("cpu")
    with reduced_memory(model), lora.new_adapter(model, rank=2, alpha=2, seed=1):
        conditioning = model.encode_prompt(["a sks dog"], size=(64, 64))
        latents = torch.zeros(1, *model.latent_shape((64, 64)))
        model.predict(latents, torch.tensor([500]), conditioning).square().sum().backward()
