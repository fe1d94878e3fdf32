"""The miniature vision models: CLIP, DINOv2 and LLaVA in transformers' own classes, and their folders.

Images are 128 x 128, split into 16 x 16 patches and scaled to [-1, 1]. All classes are transformers' own: code that
loads these folders also loads the public checkpoints.
"""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from torch import nn
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    Dinov2Config,
    Dinov2Model,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

HOME = Path(__file__).parent
CLIP, DINOV2, CAPTIONER = HOME / "judges" / "clip", HOME / "judges" / "dinov2", HOME / "captioner"
_SPECIALS = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
_IMAGE = "<image>"
#: The chat template of LLaVA 1.5, as published.
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' '}}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


@dataclass(frozen=True)
class VisionSizes:
    """The sizes of the vision towers, and of the captioner's language model, which has the same width."""

    image_size: int = 128
    patch: int = 8
    width: int = 128
    inner: int = 384
    layers: int = 6
    heads: int = 4
    language_layers: int = 3

    def processing(self) -> dict[str, Any]:
        """The settings of the image processors."""
        return {
            "size": {"shortest_edge": self.image_size},
            "crop_size": {"height": self.image_size, "width": self.image_size},
            "image_mean": [0.5] * 3,
            "image_std": [0.5] * 3,
        }


def vision_config(sizes: VisionSizes) -> CLIPVisionConfig:
    return CLIPVisionConfig(
        hidden_size=sizes.width,
        intermediate_size=sizes.inner,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        image_size=sizes.image_size,
        patch_size=sizes.patch,
    )


def build_clip(sizes: VisionSizes, text: CLIPTextModelWithProjection) -> CLIPModel:
    """A CLIP with the trained text tower `text` and a new vision tower."""
    config = CLIPConfig(
        text_config=text.config.to_dict(),
        vision_config=vision_config(sizes).to_dict(),
        projection_dim=text.config.projection_dim,
    )
    clip = CLIPModel(config)
    clip.text_model.load_state_dict(text.text_model.state_dict())
    clip.text_projection.load_state_dict(text.text_projection.state_dict())
    return clip


def clip_processor(sizes: VisionSizes) -> CLIPImageProcessorPil:
    return CLIPImageProcessorPil(**sizes.processing())


def build_dinov2(sizes: VisionSizes) -> Dinov2Model:
    return Dinov2Model(
        Dinov2Config(
            hidden_size=sizes.width,
            mlp_ratio=sizes.inner // sizes.width,
            num_hidden_layers=sizes.layers,
            num_attention_heads=sizes.heads,
            image_size=sizes.image_size,
            patch_size=sizes.patch,
        )
    )


def dinov2_processor(sizes: VisionSizes) -> BitImageProcessorPil:
    return BitImageProcessorPil(**sizes.processing())


def captioner_processor(sizes: VisionSizes, words: Iterable[str]) -> LlavaProcessor:
    """The processor of the captioner's inputs. Each of `words` (lower case) is one token; other words are unknown."""
    pieces = [*_SPECIALS.values(), _IMAGE, *sorted(set(words) - {_IMAGE})]
    tokenizer = Tokenizer(models.WordLevel({piece: k for k, piece in enumerate(pieces)}, _SPECIALS["unk_token"]))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    tokenizer.decoder = decoders.WordPiece()  # removes the space before a comma
    return LlavaProcessor(
        image_processor=LlavaImageProcessorPil(**sizes.processing()),
        tokenizer=PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, extra_special_tokens={"image_token": _IMAGE}, **_SPECIALS
        ),
        patch_size=sizes.patch,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    )


def build_captioner(sizes: VisionSizes, processor: LlavaProcessor, clip: CLIPModel) -> LlavaForConditionalGeneration:
    """A LLaVA with the vision tower of the trained `clip` and a new language model."""
    tokenizer = processor.tokenizer
    language = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=sizes.width,
        intermediate_size=sizes.inner,
        num_hidden_layers=sizes.language_layers,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.heads,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    network = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=clip.config.vision_config,
            text_config=language,
            image_token_index=tokenizer.convert_tokens_to_ids(_IMAGE),
            image_seq_length=(sizes.image_size // sizes.patch) ** 2,
        )
    )
    network.model.vision_tower.load_state_dict(clip.vision_model.state_dict())
    return network


def save_model(folder: Path, network: nn.Module, *processors: Any) -> None:
    """Save the network in its own precision, with its processors."""
    parts: tuple[Any, ...] = (network, *processors)
    for part in parts:
        part.save_pretrained(folder)


def export_vision_models(trained: Path, home: Path) -> None:
    """Copy the models in `trained` to `home`, with weights in half precision.

    The configs still name float32, so that transformers loads them in float32: half precision is slow on a CPU.
    """
    for name in (CLIP, DINOV2, CAPTIONER):
        folder = name.relative_to(HOME)
        if (trained / folder).exists():
            shutil.copytree(trained / folder, home / folder, dirs_exist_ok=True)
            weights = home / folder / "model.safetensors"
            halves = {key: tensor.half() for key, tensor in load_file(weights).items()}
            save_file(halves, weights, metadata={"format": "pt"})
