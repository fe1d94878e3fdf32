import fcntl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lipe_core import sdxl
from lipe_core.sdxl import BaseModel
from lipe_core.training import regularization
from lipe_core.training.regularization import RegularizationConfig, regularization_set

PROMPTS = ("a dog sitting", "a dog jumping", "a dog lying down")


def test_each_image_depends_on_its_own_prompt_and_seed_only(model: BaseModel) -> None:
    generated = regularization_set(model, PROMPTS, RegularizationConfig(steps=2, seed=7))
    assert generated.captions == PROMPTS
    alone = sdxl.generate_latents(model, [PROMPTS[2]], [9], size=(64, 64), steps=2)
    torch.testing.assert_close(generated.latents[2:], alone, rtol=1e-4, atol=1e-4)


def test_concurrent_requests_generate_a_set_once(model: BaseModel, tmp_path: Path) -> None:
    steps: list[int] = []

    def load(_: int) -> torch.Tensor:
        cached = regularization_set(
            model,
            PROMPTS,
            RegularizationConfig(steps=2),
            cache=tmp_path,
            on_step=lambda step, total: steps.append(step),
        )
        return cached.latents

    with ThreadPoolExecutor(3) as pool:
        first, *others = pool.map(load, range(3))
    assert [step for step in steps if step] == [1, 2]
    assert all(torch.equal(first, other) for other in others)


def test_waiting_for_another_process_can_be_stopped(model: BaseModel, tmp_path: Path) -> None:
    regularization_set(model, PROMPTS, RegularizationConfig(steps=2), cache=tmp_path)
    (lock,) = tmp_path.glob("*.lock")

    def give_up(step: int, total: int) -> None:
        raise TimeoutError(f"{step} of {total}")

    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError, match="0 of 2"):
            regularization_set(model, PROMPTS, RegularizationConfig(steps=2), cache=tmp_path, on_step=give_up)


def test_other_prompts_make_another_set(model: BaseModel, tmp_path: Path) -> None:
    regularization_set(model, PROMPTS, RegularizationConfig(steps=2), cache=tmp_path)
    other = regularization_set(model, PROMPTS[:1], RegularizationConfig(steps=2), cache=tmp_path)
    assert other.captions == PROMPTS[:1]
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


@pytest.mark.parametrize("damage", ["empty", "truncated", "another file", "no metadata", "no tensors", "a flipped bit"])
def test_a_damaged_file_is_generated_again_once(model: BaseModel, tmp_path: Path, damage: str) -> None:
    steps: list[int] = []

    def cached() -> torch.Tensor:
        config = RegularizationConfig(steps=2)
        return regularization_set(
            model, PROMPTS, config, cache=tmp_path, on_step=lambda step, total: steps.append(step)
        ).latents

    undamaged = cached().clone()
    (file,) = tmp_path.glob("*.safetensors")
    if damage == "no metadata":
        save_file({"latents": undamaged}, file)
    elif damage == "no tensors":
        save_file({}, file, {"captions": "[]"})
    else:
        flipped = bytearray(file.read_bytes())
        flipped[-1] ^= 1
        content = {
            "a flipped bit": bytes(flipped),
            "empty": b"",
            "truncated": file.read_bytes()[:-9],
            "another file": b"not safetensors" * 9,
        }
        file.unlink()  # the loaded tensors are views of the file
        file.write_bytes(content[damage])
    assert torch.equal(cached(), undamaged)
    assert torch.equal(cached(), undamaged)
    assert steps == [1, 2] * 2


def test_the_sets_that_were_used_longest_ago_are_deleted(
    model: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user may choose another seed for each training."""
    monkeypatch.setattr(regularization, "MAX_SETS", 2)
    steps: list[int] = []

    def cached(seed: int) -> None:
        config = RegularizationConfig(steps=2, seed=seed)
        regularization_set(model, PROMPTS[:1], config, cache=tmp_path, on_step=lambda step, total: steps.append(step))

    for seed in (1, 2, 1, 3):
        cached(seed)
    assert steps == [1, 2] * 3
    assert len(list(tmp_path.glob("*.safetensors"))) == len(list(tmp_path.glob("*.lock"))) == 2
    cached(1)
    assert steps == [1, 2] * 3
    cached(2)
    assert steps == [1, 2] * 4


def test_no_prompts_are_an_error(model: BaseModel) -> None:
    with pytest.raises(ValueError, match="at least one"):
        regularization_set(model, [])
