import pytest

from lipe_core import sdxl
from lipe_core.errors import PromptTooLong, WordNotFound


def test_the_empty_prompt_is_zero_text_at_the_same_size(model):
    rows = sdxl.encode_prompt(model, ["", "a photo of sks dog jumping"], size=(48, 80))
    assert rows.prompt_embeds[0].abs().max() == 0
    assert rows.pooled_prompt_embeds[0].abs().max() == 0
    assert rows.prompt_embeds[1].abs().max() > 0
    assert rows.time_ids.tolist() == [[48, 80, 0, 0, 48, 80]] * 2


def test_a_prompt_beyond_the_encoders_window_is_refused_or_shortened_by_words(model):
    limit = model.tokenizers[0].model_max_length - 2
    longest = " ".join(["dog"] * limit)
    sdxl.require_length(model, longest)
    assert sdxl.shortened(model, longest) == longest
    with pytest.raises(PromptTooLong, match=f"has {limit + 1} tokens, and the base model reads {limit}: shorten it"):
        sdxl.require_length(model, f"{longest} dog")
    assert sdxl.shortened(model, f"{longest} dog cat") == longest
    assert sdxl.shortened(model, longest, " sks dog") == " ".join(["dog"] * (limit - 2))


def test_positions_of_words(model):
    prompt = "a photo of sks toy robot , sitting"
    assert sdxl.token_positions(model, prompt, ["sks", "toy robot"]) == (4, 5, 6)
    assert sdxl.token_positions(model, "dog in a photo , dog", ["dog"]) == (1, 6)
    assert sdxl.content_tokens(model, "a dog") == model.tokenizers[0]("a dog").input_ids[1:-1]


def test_words_that_the_tokenizer_splits_are_not_in_the_vocabulary(model):
    assert sdxl.is_in_vocabulary(model, "a photo of sks dog")
    assert not sdxl.is_in_vocabulary(model, "a photo of a zebra")


@pytest.mark.parametrize(
    ("prompt", "word", "message"),
    [
        ("a photo of a dog", "cat", "'cat' is not among"),
        ("a photo of a dog", "dog!", "does not know 'dog!'"),
        ("a " * 30 + "dog", "dog", "first 22 tokens"),
    ],
)
def test_missing_words_are_named(model, prompt, word, message):
    with pytest.raises(WordNotFound, match=message) as refused:
        sdxl.token_positions(model, prompt, [word])
    assert model.checkpoint not in str(
        refused.value
    )  # users read the message: it must not show the checkpoint's location
