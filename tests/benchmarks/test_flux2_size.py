"""The figures of klein's true size in the documentation and in `lipe doctor` are those of the networks."""

from pathlib import Path

from benchmarks.flux2_size import true_size
from cli.doctor.memory_counts import KLEIN

PAGE = Path(__file__).parents[2] / "docs" / "backbones.md"


def test_the_page_and_the_doctor_have_the_counts() -> None:
    size, page = true_size(), PAGE.read_text()
    for count in (size.transformer, size.text_encoder, size.vae, size.lora, size.adapted):
        assert f"{count:,} parameters" in page
    for flops in (size.evaluation, size.evaluation_beside, size.encoding_of_a_prompt):
        assert f"{flops / 1e12:.1f} TFLOPs" in page
    assert (KLEIN.lora, KLEIN.adapted, KLEIN.text_encoder) == (size.lora, size.adapted, size.text_encoder)
    assert KLEIN.base_model == size.transformer + size.text_encoder + size.vae
    assert (KLEIN.attention, KLEIN.linear) == (size.attention, size.linear)
