"""A LLaVA of random weights and tiny size, on disk as transformers writes it, trained to caption two images."""

from pathlib import Path

import torch
from PIL import Image
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

from lipe_core.captioning.vlm import QUESTION
from menagerie.vision_models import CHAT_TEMPLATE

SIDE, PATCH = 16, 8
CAPTIONS = {"white": "a dog sitting in a meadow", "black": "a dog jumping"}


def write_llava(folder: Path, *, template: str | None = CHAT_TEMPLATE) -> None:
    """Write the model, with the same weights at every call; with a template it is trained on CAPTIONS."""
    torch.manual_seed(0)
    processor = _processor(template)
    network = LlavaForConditionalGeneration(_config(processor.tokenizer)).eval()
    if template:
        train(network, processor)
    network.save_pretrained(folder)
    processor.save_pretrained(folder)


def train(network: LlavaForConditionalGeneration, processor: LlavaProcessor) -> None:
    """Train the network to answer the captioner's question about an image of each colour with its caption."""
    question = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION.format(class_noun="dog")}]}],
        add_generation_prompt=True,
    )
    inputs = processor(
        images=[Image.new("RGB", (SIDE, SIDE), colour) for colour in CAPTIONS],
        text=[f"{question} {answer}</s>" for answer in CAPTIONS.values()],
        padding=True,
        padding_side="right",
        return_tensors="pt",
    )
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    asked = processor(images=Image.new("RGB", (SIDE, SIDE)), text=question, return_tensors="pt")["input_ids"].shape[1]
    labels[:, :asked] = -100
    optimizer = torch.optim.AdamW(network.train().parameters(), lr=1e-2)
    for _ in range(200):
        loss = network(**inputs, labels=labels).loss
        if loss < 0.02:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    else:
        raise AssertionError(f"the captions were not learned: loss {float(loss):.3f}")
    network.eval()


def _processor(template: str | None) -> LlavaProcessor:
    words = f"{QUESTION.format(class_noun='dog')} USER: ASSISTANT: {' '.join(CAPTIONS.values())}".split()
    specials = ["<unk>", "<s>", "</s>", "<pad>", "<image>"]
    vocabulary = {piece: number for number, piece in enumerate([*specials, *dict.fromkeys(words)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\s+"), "removed")
    return LlavaProcessor(
        image_processor=LlavaImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}),
        tokenizer=PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            unk_token="<unk>",
            bos_token="<s>",
            eos_token="</s>",
            pad_token="<pad>",
            extra_special_tokens={"image_token": "<image>"},
        ),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    )


def _config(tokenizer: PreTrainedTokenizerFast) -> LlavaConfig:
    return LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=SIDE,
            patch_size=PATCH,
        ),
        text_config=LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        ),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=(SIDE // PATCH) ** 2,
    )
