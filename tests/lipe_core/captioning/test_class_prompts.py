import pytest

from lipe_core.captioning.class_prompts import bank_prompts


@pytest.mark.parametrize("category", ["animal", "object", "person"])
def test_prompts_of_the_bank_are_diverse_and_decided_by_the_seed(category: str) -> None:
    prompts = bank_prompts("fox", 40, seed=3, category=category).prompts  # type: ignore[arg-type]
    assert len(set(prompts)) == 40
    assert all("fox" in prompt for prompt in prompts)
    assert prompts == bank_prompts("fox", 40, seed=3, category=category).prompts  # type: ignore[arg-type]
    assert prompts != bank_prompts("fox", 40, seed=4, category=category).prompts  # type: ignore[arg-type]


def test_phrases_that_the_base_model_does_not_know_are_left_out_while_others_remain() -> None:
    known = {"jumping", "looking left", "smiling", "at night"}
    few = bank_prompts("fox", 3, seed=0, is_known=known.__contains__)
    assert few.prompts == ("a photo of a fox jumping, looking left, smiling, at night",) * 3
    assert few.writer is None
    assert len(set(bank_prompts("fox", 40, seed=0, is_known=lambda phrase: False).prompts)) == 40
