"""Captions from a vision-language model: LLaVA (https://arxiv.org/abs/2304.08485) or any image-text-to-text model.

LIPE, section 3.2 (https://arxiv.org/abs/2406.17236): the model describes what an edit changes. Its answer is untrusted
text, because writing in an image can instruct the model. It is cleaned and cut here, and only used as a caption.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING, AutoModelForImageTextToText, AutoProcessor

from lipe_core.captioning.captions import Captioner, name_subject
from lipe_core.errors import InvalidModel
from lipe_core.pretrained import pretrained, read
from lipe_core.quantization import quantize
from lipe_core.subject import Subject

QUESTION = (
    "Describe this photo of a {class_noun} in one sentence of at most 40 words that begins with 'a photo of a "
    "{class_noun}'. Say what it is doing, its pose, its expression, which way its head points, from where it is seen, "
    "and what is around it. Do not mention colour, pattern, clothing or accessories of the {class_noun}."
)
LONGEST_ANSWER = 300
"""Characters. SDXL reads 75 tokens of a prompt, about 300 letters."""

_LONGEST_TOKENS = 96
_ROWS_AT_ONCE = 4


@dataclass(frozen=True)
class VisionLanguageModel:
    """A loaded checkpoint with its processor; the tokenizer pads on the left."""

    network: Any
    processor: Any
    checkpoint: str


def load(
    checkpoint: str | Path,
    *,
    revision: str | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    bits: int = 16,
) -> VisionLanguageModel:
    """Load a folder, or a repository of the model hub, from safetensors files only.

    The default `dtype` is bfloat16 on an accelerator and float32 on the CPU. With 8 `bits` the weights of linear layers
    are rounded to 8-bit integers. Raises InvalidModel.
    """
    dtype = dtype or (torch.float32 if torch.device(device).type == "cpu" else torch.bfloat16)
    families, kind = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING, "an image-text-to-text model"
    network = pretrained(AutoModelForImageTextToText, families, checkpoint, revision, dtype, kind)
    processor = read(AutoProcessor, checkpoint, revision, "a processor")
    if not hasattr(processor, "image_processor") or not hasattr(processor, "tokenizer"):
        raise InvalidModel(f"{checkpoint} has no processor for images and text: use the checkpoint as published")
    if not processor.chat_template:
        raise InvalidModel(f"{checkpoint} has no chat template: add the chat_template.jinja of its publisher")
    processor.tokenizer.padding_side = "left"  # the answer must follow the question, not padding
    if processor.tokenizer.pad_token is None:
        processor.tokenizer.pad_token = processor.tokenizer.eos_token
    if bits == 8:
        quantize(network)
    return VisionLanguageModel(network.to(device), processor, str(checkpoint))


def captioner(model: VisionLanguageModel, *, rows_at_once: int = _ROWS_AT_ONCE) -> Captioner:
    """A captioner for `captions.identity_set` that asks the model about `rows_at_once` images in one batch."""
    return partial(_write_captions, model, rows_at_once)


def ask(model: VisionLanguageModel, images: Sequence[Image.Image], question: str) -> list[str]:
    """The model's answer to the question for each image, by greedy decoding in one batch."""
    text = {"type": "text", "text": question}
    contents = [[{"type": "image", "image": image.convert("RGB")}, text] for image in images]
    conversations = [[{"role": "user", "content": content}] for content in contents]
    inputs = model.processor.apply_chat_template(
        conversations,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={"padding": True},
    ).to(model.network.device, dtype=model.network.dtype)
    with torch.no_grad():
        tokens = model.network.generate(
            **inputs,
            max_new_tokens=_LONGEST_TOKENS,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            pad_token_id=model.processor.tokenizer.pad_token_id,
        )
    answers = tokens[:, inputs["input_ids"].shape[1] :]
    return [str(text) for text in model.processor.batch_decode(answers, skip_special_tokens=True)]


def caption_of(answer: str, subject: Subject) -> str:
    """The answer as a caption: one line of plain words of bounded length, with the token before the class noun.

    Only the first paragraph is kept. Markup is removed, above all special tokens such as <|endoftext|>, which a text
    encoder's tokenizer would accept as its own.
    """
    plain = unicodedata.normalize("NFKC", answer).strip()
    plain = re.split(r"\n\s*\n", plain, maxsplit=1)[0]
    plain = re.sub(r"<[^<>]{0,64}>|https?://\S+", " ", plain)
    plain = re.sub(r"[^\w\s,.;'()-]", " ", plain.replace("\u2019", "'").replace("_", " "))
    plain = re.sub(r"\s+([,.;])", r"\1", " ".join(plain.split()))
    if len(plain) > LONGEST_ANSWER:
        plain = plain[:LONGEST_ANSWER].rsplit(" ", 1)[0]
    return name_subject(plain if re.search(r"\w", plain) else "", subject)


def _write_captions(
    model: VisionLanguageModel, rows_at_once: int, images: Sequence[Image.Image], subject: Subject
) -> list[str]:
    question = QUESTION.format(class_noun=subject.class_noun)
    batches = [images[start : start + rows_at_once] for start in range(0, len(images), rows_at_once)]
    return [caption_of(answer, subject) for batch in batches for answer in ask(model, batch, question)]
