import pytest
import torch
from diffusers import UNet2DConditionModel

from lipe_core import sdxl
from lipe_core.sdxl import RecordedLayers, Tokens, record_attention, use_processors
from lipe_core.sdxl import attention as recording
from tests.support.editing import NaiveAttention

PROMPTS = ["a photo of sks dog", "sks dog jumping in a meadow"]


class ForwardPass:
    """Calls the network with fixed inputs and returns its prediction."""

    def __init__(self, model, cond, x_t):
        self.model, self.cond, self.x_t = model, cond, x_t
        self.latent_size = (x_t.shape[2], x_t.shape[3])

    def __call__(self):
        with torch.no_grad():
            return sdxl.predict(self.model, self.x_t, torch.tensor([400, 400]), self.cond)


@pytest.fixture(params=[(64, 64), (48, 80), (80, 48)], ids=["square", "landscape", "portrait"])
def call(model, request):
    """A forward pass of both prompts at each size."""
    size = request.param
    cond = sdxl.encode_prompt(model, PROMPTS, size=size)
    x_t = torch.randn(2, *model.latent_shape(size), generator=torch.Generator().manual_seed(0))

    return ForwardPass(model, cond, x_t)


@pytest.fixture
def tokens(model):
    wanted = [sdxl.token_positions(model, prompt, ["sks", "dog"]) for prompt in PROMPTS]
    content = [model.content_positions(prompt) for prompt in PROMPTS]
    return Tokens.of(wanted, content, model.tokenizers[0].model_max_length)


def naive_maps(model, call):
    maps: dict[str, torch.Tensor] = {}
    with use_processors(model.unet, lambda name, old: NaiveAttention(name, maps)):
        call()
    return maps


def expected_share(maps, queries, tokens):
    layers = [p.mean(1) for name, p in maps.items() if ".attn2." in name and p.shape[2] == queries]
    assert len(layers) >= 2
    mass = torch.stack(layers).sum(0)
    return (mass * tokens.wanted[:, None]).sum(-1) / (mass * tokens.content[:, None]).sum(-1)


@pytest.mark.parametrize(("at_least", "halvings"), [(256, None), (600, 0), (1, 1), (10**6, 0)])
def test_maps_equal_a_naive_softmax(model, call, tokens, at_least, halvings):
    rows, columns = call.latent_size
    if halvings is None:
        halvings = 1 if rows * columns // 4 >= 256 else 0
    with record_attention(model.unet, tokens, latent_size=call.latent_size, attention_tokens=at_least) as store:
        call()
    maps = store.pop()
    assert maps.shape == (2, 1, rows // 2**halvings, columns // 2**halvings)
    expected = expected_share(naive_maps(model, call), maps[0].numel(), tokens)
    torch.testing.assert_close(maps.flatten(1), expected, rtol=1e-4, atol=1e-6)


def test_refinement_propagates_the_map_along_self_attention(model, call, tokens):
    with record_attention(model.unet, tokens, latent_size=call.latent_size, refine=2) as store:
        call()
    refined = store.pop().flatten(1)
    naive = naive_maps(model, call)
    queries = refined.shape[1]
    own = torch.stack([p.mean(1) for n, p in naive.items() if ".attn1." in n and p.shape[2] == queries]).mean(0)
    plain = expected_share(naive, queries, tokens)
    torch.testing.assert_close(refined, (own @ own @ plain[..., None])[..., 0], rtol=1e-4, atol=1e-6)


def test_the_last_self_attention_layer_of_each_stack_is_recorded():
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(32, 64), down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), layers_per_block=1, transformer_layers_per_block=(1, 3),
        attention_head_dim=2, cross_attention_dim=32, norm_num_groups=8,
    )  # fmt: skip
    recorded = RecordedLayers.of(unet, (8, 8), attention_tokens=16, refine=1)
    assert set(recorded.cross) == {name for name in unet.attn_processors if ".attn2." in name}
    stacks = (
        "down_blocks.1.attentions.0",
        "mid_block.attentions.0",
        "up_blocks.0.attentions.0",
        "up_blocks.0.attentions.1",
    )
    assert set(recorded.own) == {f"{stack}.transformer_blocks.2.attn1.processor" for stack in stacks}


@pytest.mark.parametrize("refine", [0, 1])
def test_outputs_do_not_change(model, call, tokens, refine):
    plain = call()
    with record_attention(model.unet, tokens, latent_size=call.latent_size, refine=refine):
        assert torch.equal(call(), plain)


def test_only_the_last_rows_of_a_guided_batch_are_recorded(model, call, tokens):
    one = Tokens(tokens.wanted[1:], tokens.content[1:])
    with record_attention(model.unet, tokens, latent_size=call.latent_size) as both:
        call()
    with record_attention(model.unet, one, latent_size=call.latent_size) as last:
        call()
    torch.testing.assert_close(both.pop()[1:], last.pop())


def test_pop_empties_the_store(model, call, tokens):
    with record_attention(model.unet, tokens, latent_size=call.latent_size) as store:
        call()
        first = store.pop()
        with pytest.raises(RuntimeError, match="since the last pop"):
            store.pop()
        call()
        assert torch.equal(store.pop(), first)


def test_nothing_is_recorded_after_an_exception(model, call, tokens):
    with (
        pytest.raises(InterruptedError),
        record_attention(model.unet, tokens, latent_size=call.latent_size) as store,
    ):
        raise InterruptedError
    call()
    assert not store.queries


def test_maps_of_a_few_layers_at_a_time_are_those_of_all(model, call, tokens, monkeypatch):
    maps = []
    for most_logits in (2**25, 1):
        monkeypatch.setattr(recording, "_MOST_LOGITS", most_logits)
        with record_attention(model.unet, tokens, latent_size=call.latent_size, refine=1) as store:
            call()
        maps.append(store.pop())
    torch.testing.assert_close(maps[0], maps[1])


def test_maps_are_shares(model, call, tokens):
    with record_attention(model.unet, tokens, latent_size=call.latent_size, refine=1) as store:
        call()
    maps = store.pop()
    assert maps.min() >= 0
    assert maps.max() <= 1
