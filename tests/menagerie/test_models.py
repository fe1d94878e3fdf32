"""The tokenizer, and the VAE with normalised latents."""

import torch

from menagerie.models import Sizes, build_tokenizer, build_vae, normalize_latents


def test_each_word_is_one_token_and_other_text_is_a_run_of_bytes() -> None:
    words = ["dog", "dogs", "do", "meadow", "looking", "look", ","]
    tokenizer = build_tokenizer(words, 16)
    for word in words:
        assert len(tokenizer(word, add_special_tokens=False).input_ids) == 1
    strange = tokenizer("Ünknown", add_special_tokens=False).input_ids
    assert len(strange) > 1
    assert tokenizer.decode(strange).strip() == "ünknown"


def test_normalised_latents_decode_to_the_same_image() -> None:
    torch.manual_seed(0)
    vae = build_vae(Sizes(image_size=32, vae_widths=(8, 8, 8, 8), latent_channels=4)).eval()
    pixels = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        before = vae.encode(pixels).latent_dist
        decoded = vae.decode(before.mean).sample
        normalize_latents(vae, torch.tensor([0.5, -1.0, 0.0, 2.0]), torch.tensor([0.5, 2.0, 1.0, 3.0]))
        after = vae.encode(pixels).latent_dist
        torch.testing.assert_close(vae.decode(after.mean).sample, decoded, rtol=1e-3, atol=1e-4)
    expected = (before.mean - torch.tensor([0.5, -1.0, 0.0, 2.0])[:, None, None]) / torch.tensor([0.5, 2.0, 1.0, 3.0])[
        :, None, None
    ]
    torch.testing.assert_close(after.mean, expected, rtol=1e-4, atol=1e-5)
