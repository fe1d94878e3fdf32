"""Train the miniature LLaVA (Liu et al. 2023, https://arxiv.org/abs/2304.08485) to answer the captioner's question.

The vision tower starts from the miniature CLIP. All weights are trained at once: the two phases of the paper protect a
pretrained language model, and this one has random weights. The loss covers the answers alone.
"""

import re
from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from lipe_core import precision
from lipe_core.captioning.vlm import QUESTION
from menagerie.attributes import KIND_OF, sample_drawing
from menagerie.augment import render_augmented
from menagerie.captions import class_prompt, vocabulary
from menagerie.muon import optimizers
from menagerie.stages.loop import (
    Average,
    Progress,
    Settings,
    Trainable,
    budgeted_steps,
    draw_curve,
    learning_rate,
    set_learning_rate,
    stream,
)
from menagerie.stages.unet import unfused_attention

_CROP_SHARE = 0.1
_UNLABELLED = -100


def tokenizer_words() -> set[str]:
    """The words of the captioner's tokenizer: those of the drawn world, of the question and of the chat template."""
    questions = [QUESTION.format(class_noun=noun) for noun in KIND_OF]
    return set(re.findall(r"\w+|[^\w\s]", " ".join([*vocabulary(), *questions, "user: assistant:"]).lower()))


def train_captioner(
    network: LlavaForConditionalGeneration, processor: LlavaProcessor, settings: Settings
) -> LlavaForConditionalGeneration:
    """Train the network; returns the averaged weights."""
    network.to(settings.device).train()
    chosen = optimizers(network, settings.lr, weight_decay=0.02)
    run = Trainable(network, Average(network, limit=0.998), chosen, Progress())
    if settings.resume and settings.state_file("captioner").exists():
        run.load(settings.state_file("captioner"))
    questions = {noun: question_ids(processor, noun) for noun in KIND_OF}
    make = partial(draw_batch, processor, questions, network.config.vision_config.image_size, settings.batch)
    batches = stream(make, (settings.seed, 7, run.progress.step), settings)

    def save() -> None:
        run.save(settings.state_file("captioner"))
        draw_curve(
            run.progress, settings.out / "images" / "captioner-loss.png", "captioner: cross-entropy of the answers"
        )

    for fraction in budgeted_steps(run.progress, settings, "captioner", save):
        set_learning_rate(chosen, learning_rate(fraction, run.progress.step, settings.lr, settings.warmup))
        pixels, ids, attention_mask, labels = (rows.to(settings.device, non_blocking=True) for rows in next(batches))
        with precision.autocast(settings.device), unfused_attention(settings.device):
            loss = network(input_ids=ids, pixel_values=pixels, attention_mask=attention_mask, labels=labels).loss
        run.step(loss.float(), clip=1.0, samples=len(pixels))
    return run.average.model


def draw_batch(
    processor: LlavaProcessor, questions: Mapping[str, list[int]], size: int, count: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pixels (count, 3, size, size) of fresh drawings, and the tensors of `dialogues` for each of them."""
    drawings = [sample_drawing(rng) for _ in range(count)]
    chosen = [questions[drawing.identity.class_noun] for drawing in drawings]
    answers = [answer_ids(processor, class_prompt(drawing)) for drawing in drawings]
    return render_augmented(rng, drawings, size, _CROP_SHARE), *dialogues(processor, chosen, answers)


def question_ids(processor: LlavaProcessor, class_noun: str) -> list[int]:
    """Token ids of the captioner's question in the chat template, with one image token for each patch."""
    question = {"type": "text", "text": QUESTION.format(class_noun=class_noun)}
    text = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, question]}], add_generation_prompt=True
    )
    side = processor.image_processor.crop_size["height"]
    blank = np.zeros((side, side, 3), np.uint8)
    ids: list[int] = processor(images=blank, text=text)["input_ids"][0]
    return ids


def answer_ids(processor: LlavaProcessor, answer: str) -> list[int]:
    """Token ids of an answer, with the end token."""
    return [*processor.tokenizer(answer, add_special_tokens=False)["input_ids"], processor.tokenizer.eos_token_id]


def dialogues(
    processor: LlavaProcessor, questions: list[list[int]], answers: list[list[int]]
) -> tuple[Tensor, Tensor, Tensor]:
    """Token ids, attention mask and labels, each (b, n), padded on the right. Only the answers have labels."""
    longest = max(len(q) + len(a) for q, a in zip(questions, answers, strict=True))
    ids = torch.full((len(questions), longest), processor.tokenizer.pad_token_id)
    attention_mask, labels = torch.zeros_like(ids), torch.full_like(ids, _UNLABELLED)
    for row, (question, answer) in enumerate(zip(questions, answers, strict=True)):
        end = len(question) + len(answer)
        ids[row, :end] = torch.tensor([*question, *answer])
        attention_mask[row, :end] = 1
        labels[row, len(question) : end] = torch.tensor(answer)
    return ids, attention_mask, labels
