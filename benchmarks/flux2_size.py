"""The true size of FLUX.2 [klein] base 4B by arithmetic: parameters, FLOPs, and the bytes of a job's largest parts.

    python -m benchmarks.flux2_size

The networks are made on the meta device, without memory, from the sizes below. Nothing is measured, and no weights are
needed. Memory is for images of 1024 x 1024 in bfloat16, without the activations and workspaces of a forward pass.
"""

from dataclasses import dataclass

import torch
from diffusers import AutoencoderKLFlux2, Flux2Transformer2DModel
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen3Config, Qwen3ForCausalLM

from lipe_core.checkpoint.flux2_layout import TEXT_LAYERS, adapter_targets
from lipe_core.methods.source_features import LATE

SIDE, TEXT_LENGTH, RANK, BYTES = 1024, 512, 16, 2
TEXT = {
    "vocab_size": 151936, "hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "tie_word_embeddings": True,
}  # fmt: skip
TRANSFORMER = {
    "in_channels": 128, "num_layers": 5, "num_single_layers": 20, "attention_head_dim": 128, "num_attention_heads": 24,
    "joint_attention_dim": len(TEXT_LAYERS) * 2560, "guidance_embeds": False,
}  # fmt: skip


@dataclass(frozen=True)
class Size:
    """Numbers of parameters, and FLOPs of one row; `evaluation_beside` has one image of its size beside the target.

    `linear` are the parameters that a base model of 8 bits rounds.
    """

    transformer: int
    text_encoder: int
    vae: int
    lora: int
    adapted: int
    attention: int
    linear: int
    evaluation: int
    evaluation_beside: int
    encoding_of_a_prompt: int
    features: int


@torch.no_grad()
def true_size() -> Size:
    """Count on the meta device, which takes seconds."""
    with torch.device("meta"):
        transformer = Flux2Transformer2DModel(**TRANSFORMER)
        text_encoder = Qwen3ForCausalLM(Qwen3Config(**TEXT))
        vae = AutoencoderKLFlux2()
        tokens = (SIDE // 16) ** 2
        prompt = torch.zeros(1, TEXT_LENGTH, dtype=torch.long)
        evaluation, beside = (_evaluation(transformer, images * tokens) for images in (1, 2))
        with FlopCounterMode(display=False) as encoding:
            # A mask would be read, which a tensor without memory cannot be.
            text_encoder.model(input_ids=prompt, attention_mask={"full_attention": None}, use_cache=False)
    ends = tuple(f".{end}" for end in adapter_targets(["to_q", "to_k", "to_v", "to_out.0"], 20))
    layers = [layer.weight for name, layer in transformer.named_modules() if f".{name}".endswith(ends)]
    blocks = 5 + 20
    width = 24 * 128
    return Size(
        transformer=sum(weight.numel() for weight in transformer.parameters()),
        text_encoder=sum(weight.numel() for weight in text_encoder.parameters()),
        vae=sum(weight.numel() for weight in vae.parameters()),
        lora=sum(RANK * sum(weight.shape) for weight in layers),
        adapted=sum(weight.numel() for weight in layers),
        attention=sum(weight.numel() for name, weight in transformer.named_parameters() if ".attn." in name),
        linear=_linear(transformer, "transformer_blocks.") + _linear(text_encoder.model, ""),
        evaluation=evaluation,
        evaluation_beside=beside,
        encoding_of_a_prompt=encoding.get_total_flops(),
        features=(blocks - round(LATE * blocks)) * tokens * width,
    )


def _linear(network: torch.nn.Module, part: str) -> int:
    layers = ((name, layer) for name, layer in network.named_modules() if isinstance(layer, torch.nn.Linear))
    return sum(layer.weight.numel() for name, layer in layers if part in name)


def _evaluation(transformer: Flux2Transformer2DModel, tokens: int) -> int:
    """The FLOPs with so many image tokens."""
    with FlopCounterMode(display=False) as counter:
        transformer(
            hidden_states=torch.empty(1, tokens, 128),
            encoder_hidden_states=torch.empty(1, TEXT_LENGTH, len(TEXT_LAYERS) * 2560),
            timestep=torch.empty(1),
            img_ids=torch.empty(tokens, 4),
            txt_ids=torch.empty(TEXT_LENGTH, 4),
        )
    return int(counter.get_total_flops())


def main() -> None:
    """Print the figures of docs/backbones.md."""
    size = true_size()
    for name in ("transformer", "text_encoder", "vae", "linear", "lora", "adapted", "features"):
        count = getattr(size, name)
        print(f"{name}: {count:,} numbers, {BYTES * count / 1e9:.2f} GB")
    print(f"evaluation: {size.evaluation / 1e12:.1f} TFLOPs")
    print(f"evaluation with an image beside the target: {size.evaluation_beside / 1e12:.1f} TFLOPs")
    print(f"encoding of a prompt: {size.encoding_of_a_prompt / 1e12:.1f} TFLOPs")


if __name__ == "__main__":
    main()
