"""A few steps of the miniature klein's stages at tiny sizes; plain diffusers generates with the result."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, Flux2KleinPipeline
from torch.nn.functional import silu

from lipe_core import flux2
from lipe_core.diffusion.flow import LEVELS
from menagerie import report
from menagerie.captions import PUNCTUATION, vocabulary
from menagerie.klein_models import (
    KleinSizes,
    assemble,
    build_text_encoder,
    build_tokenizer,
    build_transformer,
    share_vae,
)
from menagerie.models import CHECKPOINT
from menagerie.pool import Pool, companion_of, drawing_of
from menagerie.pretrain_klein import read_captions, run_stage, sdxl_vae
from menagerie.stages.loop import Settings
from menagerie.stages.transformer import batch_loss, draw_batch, draw_pairs, spread_levels

SIZES = KleinSizes(text_width=16, double=1, single=1, heads=2, head_width=16)
PROMPT = "a photo of an orange cat, sitting"


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def settings(folder: Path, steps: int, *, resume: bool = False) -> Settings:
    return Settings(out=folder, minutes=60.0, steps=steps, batch=4, warmup=2, workers=1, resume=resume)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_all_stages_make_a_checkpoint_and_resume(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    for stage in ("text", "transformer"):
        run_stage(stage, settings(tmp_path, 2), 8, checkpoint, SIZES)
    encoder = (tmp_path / "pipeline" / "text_encoder" / "model.safetensors").read_bytes()
    for stage in ("text", "transformer"):
        run_stage(stage, settings(tmp_path, 4, resume=True), 8, checkpoint, SIZES)
    assert (tmp_path / "pipeline" / "text_encoder" / "model.safetensors").read_bytes() == encoder
    assert torch.load(tmp_path / "states" / "transformer.pt", weights_only=True)["progress"]["step"] == 4
    run_stage("export", settings(tmp_path, 1), 8, checkpoint, SIZES)

    found = report.main(["--backbone", "flux2", "--checkpoint", str(checkpoint), "--captions", "2", "--steps", "2"])
    assert found.agreement.keys() <= found.probe.keys()
    model, pipeline = flux2.load(checkpoint), Flux2KleinPipeline.from_pretrained(checkpoint)
    expected, _ = pipeline.encode_prompt(PROMPT, max_sequence_length=SIZES.text_length)
    torch.testing.assert_close(model.encode_prompt([PROMPT], size=(128, 128)).prompt_embeds, expected)


def test_a_companion_shows_the_same_subject_half_of_them_in_another_scene() -> None:
    pairs = [(drawing_of(1, k), companion_of(1, k)) for k in range(64)]
    assert all(first.identity == second.identity for first, second in pairs)
    assert 16 < sum(first.scene == second.scene for first, second in pairs) < 48
    assert companion_of(1, 5) == pairs[5][1]


@pytest.mark.filterwarnings("ignore")
def test_the_network_learns_to_read_an_image_beside_the_target(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tokenizer = build_tokenizer([*vocabulary(), *PUNCTUATION], SIZES.text_length)
    networks = build_text_encoder(SIZES, tokenizer), build_transformer(SIZES, 16)
    assemble(share_vae(sdxl_vae()), tokenizer, *networks).save_pretrained(tmp_path / "pipeline")
    model = flux2.load(tmp_path / "pipeline")
    torch.nn.init.normal_(model.transformer.requires_grad_(True).proj_out.weight)
    pool = Pool(tmp_path / "pool", 1, 6, (16, 16, 16))
    companions = Pool(tmp_path / "companions", 1, 6, (16, 16, 16), companion_of)
    pool.grow(sdxl_vae(), 6, 1)
    companions.grow(sdxl_vae(), 2, 1)

    pairs = draw_pairs(pool, companions, tokenizer, 8, np.random.default_rng(0))
    assert pairs.companions is not None
    first, second = pool.rows(np.arange(2))[0], companions.rows(np.arange(2))[0]
    of_first = (pairs.latents == first[0]).flatten(1).all(dim=1)
    assert 0 < int(of_first.sum()) < 8
    assert torch.equal(pairs.companions, torch.where(of_first.view(-1, 1, 1, 1), second[0], second[1]))

    def loss(companions: torch.Tensor | None) -> torch.Tensor:
        return batch_loss(model, pairs._replace(companions=companions), torch.Generator().manual_seed(0))

    assert not torch.isclose(loss(pairs.companions), loss(None))
    assert not torch.isclose(loss(pairs.companions), loss(pairs.companions.flip(0)))
    loss(pairs.companions).backward()
    assert model.transformer.x_embedder.weight.grad is not None
    assert draw_batch(pool, tokenizer, 3, np.random.default_rng(0)).companions is None


def test_a_stage_without_those_before_it_is_refused(tmp_path: Path) -> None:
    for stage in ("transformer", "export"):
        with pytest.raises(SystemExit, match="run the stage text first"):
            run_stage(stage, settings(tmp_path, 1), 8, tmp_path / "checkpoint", SIZES)
    assert not list(tmp_path.iterdir())


def test_klein_shares_the_latents_of_the_sdxl_miniature() -> None:
    vae = AutoencoderKL.from_pretrained(CHECKPOINT / "vae").eval()
    shared, pixels = share_vae(vae).eval(), torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        latents = vae.encode(pixels).latent_dist.mode()
        assert torch.equal(shared.encode(pixels).latent_dist.mode(), latents)
        assert torch.equal(shared.decode(latents).sample, vae.decode(latents).sample)


@torch.no_grad()
def test_a_new_transformer_predicts_zero_with_all_blocks_open_at_all_noise_levels() -> None:
    torch.manual_seed(0)
    transformer = build_transformer(KleinSizes(), 16)
    features = silu(transformer.time_guidance_embed(torch.linspace(0, 1000, 33), None))
    for modulation in (transformer.double_stream_modulation_img, transformer.single_stream_modulation):
        shift, scale, gate = modulation.linear(features).unflatten(1, (-1, 3, transformer.inner_dim)).unbind(2)
        assert shift.count_nonzero() == scale.count_nonzero() == 0
        assert 0.9 < float(gate.min()) <= float(gate.max()) < 1.1
    assert transformer.config.rope_theta == 16
    predicted = transformer(
        hidden_states=torch.randn(1, 4, 64), encoder_hidden_states=torch.randn(1, 3, 144), timestep=torch.rand(1),
        img_ids=torch.zeros(4, 4), txt_ids=torch.zeros(3, 4), return_dict=False,
    )[0]  # fmt: skip
    assert predicted.shape == (1, 4, 64)
    assert predicted.count_nonzero() == 0


def test_each_word_is_one_token_also_behind_a_space() -> None:
    tokenizer = build_tokenizer(["cat", "cats", "at", "a", ","], 40)
    assert tokenizer.tokenize("a cat, at cats") == ["a", "\u0120cat", ",", "\u0120at", "\u0120cats"]
    assert tokenizer.decode(tokenizer("a dög").input_ids) == "a dög"


def test_a_caption_is_read_up_to_its_padding() -> None:
    tokenizer = build_tokenizer(["a", "cat"], 40)
    encoder = build_text_encoder(SIZES, tokenizer).eval()
    tokens, pooled = read_captions(tokenizer, encoder, ["a cat", "a cat a cat"])
    assert tokens.shape == (2, 40, 3 * SIZES.text_width)
    lengths = flux2.tokenize(tokenizer, ["a cat", "a cat a cat"]).attention_mask.sum(dim=1)
    assert torch.equal(pooled, torch.stack([tokens[0, lengths[0] - 1], tokens[1, lengths[1] - 1]]))
    assert int(lengths[1] - lengths[0]) == 2


def test_noise_levels_lean_towards_noise() -> None:
    t = spread_levels(4000, np.random.default_rng(0))
    assert 0 <= int(t.min()) < LEVELS // 1000
    assert LEVELS - 1 >= int(t.max()) > LEVELS * 0.999
    assert float((t > 0.75 * LEVELS).float().mean()) == pytest.approx(0.5, abs=0.01)
