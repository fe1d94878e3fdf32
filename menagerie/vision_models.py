"""The miniature models that see: CLIP, DINOv2 and LLaVA in transformers' own classes, and the folders they lie in.

Pictures are 128 x 128, seen as 16 x 16 patches and scaled to [-1, 1]. Nothing here is our own class, so that whatever
loads these folders loads the public checkpoints.
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
#: LLaVA 1.5's, as its publisher ships it.
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' '}}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


@dataclass(frozen=True)
class Sight:
    """Every size of the towers that see, and of the captioner's language model, which is as wide."""

    picture: int = 128
    patch: int = 8
    width: int = 128
    inner: int = 384
    layers: int = 6
    heads: int = 4
    language_layers: int = 3

    def processing(self) -> dict[str, Any]:
        """An image processor's settings."""
        return {
            "size": {"shortest_edge": self.picture},
            "crop_size": {"height": self.picture, "width": self.picture},
            "image_mean": [0.5] * 3,
            "image_std": [0.5] * 3,
        }


def vision_config(sight: Sight) -> CLIPVisionConfig:
    return CLIPVisionConfig(
        hidden_size=sight.width,
        intermediate_size=sight.inner,
        num_hidden_layers=sight.layers,
        num_attention_heads=sight.heads,
        image_size=sight.picture,
        patch_size=sight.patch,
    )


def build_clip(sight: Sight, text: CLIPTextModelWithProjection) -> CLIPModel:
    """A CLIP whose text tower is a trained one, and whose vision tower is new."""
    config = CLIPConfig(
        text_config=text.config.to_dict(),
        vision_config=vision_config(sight).to_dict(),
        projection_dim=text.config.projection_dim,
    )
    clip = CLIPModel(config)
    clip.text_model.load_state_dict(text.text_model.state_dict())
    clip.text_projection.load_state_dict(text.text_projection.state_dict())
    return clip


def clip_processor(sight: Sight) -> CLIPImageProcessorPil:
    return CLIPImageProcessorPil(**sight.processing())


def build_dinov2(sight: Sight) -> Dinov2Model:
    return Dinov2Model(
        Dinov2Config(
            hidden_size=sight.width,
            mlp_ratio=sight.inner // sight.width,
            num_hidden_layers=sight.layers,
            num_attention_heads=sight.heads,
            image_size=sight.picture,
            patch_size=sight.patch,
        )
    )


def dinov2_processor(sight: Sight) -> BitImageProcessorPil:
    return BitImageProcessorPil(**sight.processing())


def captioner_processor(sight: Sight, words: Iterable[str]) -> LlavaProcessor:
    """Pictures and texts for the captioner; each of ``words``, in small letters, is one token, any other unknown."""
    pieces = [*_SPECIALS.values(), _IMAGE, *sorted(set(words) - {_IMAGE})]
    tokenizer = Tokenizer(models.WordLevel({piece: k for k, piece in enumerate(pieces)}, _SPECIALS["unk_token"]))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    tokenizer.decoder = decoders.WordPiece()  # for its cleaning: no space before a comma
    return LlavaProcessor(
        image_processor=LlavaImageProcessorPil(**sight.processing()),
        tokenizer=PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, extra_special_tokens={"image_token": _IMAGE}, **_SPECIALS
        ),
        patch_size=sight.patch,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    )


def build_captioner(sight: Sight, processor: LlavaProcessor, clip: CLIPModel) -> LlavaForConditionalGeneration:
    """A LLaVA whose vision tower is a trained CLIP's, and whose language model is new."""
    tokenizer = processor.tokenizer
    language = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=sight.width,
        intermediate_size=sight.inner,
        num_hidden_layers=sight.language_layers,
        num_attention_heads=sight.heads,
        num_key_value_heads=sight.heads,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    network = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=clip.config.vision_config,
            text_config=language,
            image_token_index=tokenizer.convert_tokens_to_ids(_IMAGE),
            image_seq_length=(sight.picture // sight.patch) ** 2,
        )
    )
    network.model.vision_tower.load_state_dict(clip.vision_model.state_dict())
    return network


def write(folder: Path, network: nn.Module, *processors: Any) -> None:
    """The network in its own precision, with what prepares its inputs."""
    for part in (network, *processors):
        part.save_pretrained(folder)


def export_sight(trained: Path, home: Path) -> None:
    """Copy the models that ``trained`` has to ``home``, their weights in half precision.

    Their configs go on naming float32, in which transformers then loads them: a CPU is slow at halves.
    """
    for name in (CLIP, DINOV2, CAPTIONER):
        place = name.relative_to(HOME)
        if (trained / place).exists():
            shutil.copytree(trained / place, home / place, dirs_exist_ok=True)
            weights = home / place / "model.safetensors"
            halves = {key: tensor.half() for key, tensor in load_file(weights).items()}
            save_file(halves, weights, metadata={"format": "pt"})
