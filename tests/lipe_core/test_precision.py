"""bfloat16 is used on processors with instructions for it, and on no others."""

import pytest
import torch

from lipe_core import precision


@pytest.mark.parametrize(("name", "has"), [("amx_bf16", True), ("bf16", True), ("avx512_bf16", False), ("avx2", False)])
def test_a_processor_has_bfloat16_if_its_instructions_are_fast(
    monkeypatch: pytest.MonkeyPatch, name: str, has: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {name: True, "avx512_f": True, "amx_int8": False})
    assert precision.has_bfloat16("cpu") is has
    with precision.autocast("cpu"):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if has else torch.float32)


@pytest.mark.parametrize(("has", "dtype"), [(True, torch.bfloat16), (False, torch.float16)])
def test_a_gpu_without_bfloat16_computes_in_float16(
    monkeypatch: pytest.MonkeyPatch, has: bool, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has)
    assert precision.network_dtype("cuda") == dtype
    assert precision.network_dtype("cpu") == torch.float32
