"""The names of the network's layers in the files of LoRAs, and the layers that a LoRA may change.

Three programs name the same layer differently: kohya's trainer, with the block names of diffusers or with those of
SDXL's first release; diffusers with peft; and diffusers before peft.
"""

import re


def lora_names(layer: str, layers_per_block: int) -> list[str]:
    """All names of a linear layer of the U-Net's transformer blocks, such as down_blocks.1.attentions.0.proj_in."""
    first = _first_release_name(layer, layers_per_block)
    before_peft = re.sub(r"\.(attn\d)\.(to_[a-z]+)(?:\.0)?$", r".\1.processor.\2", layer)
    names = [layer, f"unet.{layer}", f"base_model.model.{layer}", f"unet.{before_peft}", before_peft]
    names += [f"lora_unet_{name.replace('.', '_')}" for name in (layer, first)]
    return [*names, f"diffusion_model.{first}"]


def _first_release_name(layer: str, layers_per_block: int) -> str:
    """The layer's name in SDXL's first release, which numbers all blocks of a side of the network."""
    side, _, rest = layer.partition(".")
    if side == "mid_block":
        return re.sub(r"^attentions\.0\.", "middle_block.1.", rest)
    block, _, number, inner = rest.split(".", 3)
    # Each level has one block more: the one that halves the size on the way down, and on the way up a third layer.
    position = int(block) * (layers_per_block + 1) + int(number)
    return f"input_blocks.{position + 1}.1.{inner}" if side == "down_blocks" else f"output_blocks.{position}.1.{inner}"
