"""A base model that LIPE cannot use: workers end with its sentence, and `lipe up` announces nothing."""

import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from cli.embedded.process import StartError
from cli.embedded.up import embedded_service
from ledger.settings import Settings
from lipe_client import Client
from tests.support.layouts import UNET, renamed, tensors
from tests.support.tiny_klein import write_klein
from tests.support.waiting import PATIENCE_SECONDS, eventually


@pytest.fixture
def wrong_model(checkpoint: Path, tmp_path: Path) -> Path:
    """The tiny checkpoint without a tensor, which only the comparison of all tensors finds."""
    folder = Path(shutil.copytree(checkpoint, tmp_path / "model"))
    tensors(UNET, lambda weights: {name: t for name, t in weights.items() if name != "conv_out.weight"})(folder)
    return folder


class TestWorker:
    @pytest.fixture
    def settings(self, settings: Settings, wrong_model: Path) -> Settings:
        """Settings with that base model."""
        return settings.model_copy(update={"base_model": str(wrong_model)})

    def test_a_worker_ends_with_the_reason(self, program: Callable[..., Popen[bytes]], tmp_path: Path) -> None:
        worker = program("worker", "--queues", "edits")
        assert worker.wait(PATIENCE_SECONDS) == 2
        (log,) = tmp_path.glob("worker-*/log")
        assert "lacks the tensor conv_out.weight in unet: use weights and config.json" in log.read_text()


@pytest.mark.slow
def test_up_announces_nothing(wrong_model: Path, tmp_path: Path) -> None:
    started: list[str] = []
    with (
        pytest.raises(StartError, match=r"^the base model .* lacks the tensor conv_out\.weight in unet: use weights"),
        embedded_service(tmp_path / "data", base_model=wrong_model, on_start=started.append),
    ):
        pytest.fail("the service started")
    assert "api" not in started
    assert "edit-worker" not in started


def test_up_starts_nothing_for_a_wrong_folder(wrong_model: Path, tmp_path: Path) -> None:
    renamed(UNET, "diffusion_pytorch_model.bin")(wrong_model)
    started: list[str] = []
    with (
        pytest.raises(StartError, match="only pickled weights in unet"),
        embedded_service(tmp_path / "data", base_model=wrong_model, on_start=started.append),
    ):
        pytest.fail("the service started")
    assert started == []


@pytest.mark.slow
def test_up_has_workers_with_a_distilled_klein_by_force(tmp_path: Path) -> None:
    write_klein(tmp_path / "klein", is_distilled=True)
    with (
        embedded_service(tmp_path / "data", base_model=tmp_path / "klein", allow_distilled=True) as service,
        Client(service.url, service.key.token) as lipe,
    ):
        eventually(lambda: [model.workers for model in lipe.models()] == [2])
        for name in ("prior-worker", "edit-worker"):
            assert "neither trains nor inverts well" in (service.data_dir / name / "log").read_text()
