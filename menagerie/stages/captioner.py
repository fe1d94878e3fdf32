"""The miniature LLaVA (Liu et al. 2023, https://arxiv.org/abs/2304.08485): the captioner's own question, answered.

Its vision tower starts as the miniature CLIP's. All of it learns at once: the published two phases protect a large
language model, and this one starts from nothing. The loss is on the answers alone.
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
from menagerie.augment import views
from menagerie.captions import class_prompt, vocabulary
from menagerie.muon import optimizers
from menagerie.stages.loop import (
    Average,
    Progress,
    Settings,
    Trainable,
    draw_curve,
    learning_rate,
    set_learning_rate,
    steps,
    stream,
)
from menagerie.stages.unet import plain_attention

_CUT = 0.1
_UNLABELLED = -100


def spoken_words() -> set[str]:
    """What the captioner's tokenizer knows: the world's words, and those of the question with its frame."""
    asked = [QUESTION.format(class_noun=noun) for noun in KIND_OF]
    return set(re.findall(r"\w+|[^\w\s]", " ".join([*vocabulary(), *asked, "user: assistant:"]).lower()))


def train_captioner(
    network: LlavaForConditionalGeneration, processor: LlavaProcessor, settings: Settings
) -> LlavaForConditionalGeneration:
    """Train the network; returns the averaged weights."""
    network.to(settings.device).train()
    chosen = optimizers(network, settings.lr, weight_decay=0.02)
    run = Trainable(network, Average(network, limit=0.998), chosen, Progress())
    if settings.resume and settings.state_file("captioner").exists():
        run.load(settings.state_file("captioner"))
    asked = {noun: asked_ids(processor, noun) for noun in KIND_OF}
    make = partial(draw_batch, processor, asked, network.config.vision_config.image_size, settings.batch)
    batches = stream(make, (settings.seed, 7, run.progress.step), settings)

    def save() -> None:
        run.save(settings.state_file("captioner"))
        draw_curve(run.progress, settings.out / "pictures" / "captioner-loss.png", "captioner: its answers' words")

    for fraction in steps(run.progress, settings, "captioner", save):
        set_learning_rate(chosen, learning_rate(fraction, run.progress.step, settings.lr, settings.warmup))
        pixels, ids, attended, labels = (rows.to(settings.device, non_blocking=True) for rows in next(batches))
        with precision.autocast(settings.device), plain_attention(settings.device):
            loss = network(input_ids=ids, pixel_values=pixels, attention_mask=attended, labels=labels).loss
        run.step(loss.float(), clip=1.0, samples=len(pixels))
    return run.average.model


def draw_batch(
    processor: LlavaProcessor, asked: Mapping[str, list[int]], size: int, count: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pictures (count, 3, size, size) of fresh drawings, and of each the dialogue as ``dialogues`` gives it."""
    drawings = [sample_drawing(rng) for _ in range(count)]
    questions = [asked[drawing.identity.class_noun] for drawing in drawings]
    answers = [answer_ids(processor, class_prompt(drawing)) for drawing in drawings]
    return views(rng, drawings, size, _CUT), *dialogues(processor, questions, answers)


def asked_ids(processor: LlavaProcessor, class_noun: str) -> list[int]:
    """The captioner's question as the network gets it: chat template, and one token for each patch of the picture."""
    question = {"type": "text", "text": QUESTION.format(class_noun=class_noun)}
    text = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, question]}], add_generation_prompt=True
    )
    side = processor.image_processor.crop_size["height"]
    blank = np.zeros((side, side, 3), np.uint8)
    return processor(images=blank, text=text)["input_ids"][0]


def answer_ids(processor: LlavaProcessor, answer: str) -> list[int]:
    return [*processor.tokenizer(answer, add_special_tokens=False)["input_ids"], processor.tokenizer.eos_token_id]


def dialogues(
    processor: LlavaProcessor, questions: list[list[int]], answers: list[list[int]]
) -> tuple[Tensor, Tensor, Tensor]:
    """Token ids, attention mask and labels, each (b, n), padded on the right; only answers are labelled."""
    longest = max(len(q) + len(a) for q, a in zip(questions, answers, strict=True))
    ids = torch.full((len(questions), longest), processor.tokenizer.pad_token_id)
    attended, labels = torch.zeros_like(ids), torch.full_like(ids, _UNLABELLED)
    for row, (question, answer) in enumerate(zip(questions, answers, strict=True)):
        end = len(question) + len(answer)
        ids[row, :end] = torch.tensor([*question, *answer])
        attended[row, :end] = 1
        labels[row, len(question) : end] = torch.tensor(answer)
    return ids, attended, labels
