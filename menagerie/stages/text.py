"""Pretrain the text encoders: predict all attributes from a caption's tokens and from its pooled embedding.

For an attribute that the caption does not name, the best prediction is its frequency: it adds a constant to the loss.
The encoders learn phrases such as "an orange cat with white markings" before the UNet is trained, which saves it many
samples.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import CLIPTokenizer

from lipe_core import precision
from menagerie.attributes import ATTRIBUTES, sample_drawing
from menagerie.captions import caption
from menagerie.stages.loop import Progress, Settings, budgeted_steps, draw_curve, learning_rate, set_learning_rate

EncodeCaptions = Callable[[list[str]], tuple[Tensor, Tensor]]


class AttributeReader(nn.Module):
    """A head for training only: per attribute, one learned query over the tokens and one linear map of the pooled."""

    def __init__(self, width: int, pooled: int, values: list[int]) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(len(values), width) / width**0.5)
        self.from_tokens = nn.ModuleList(nn.Linear(width, count) for count in values)
        self.from_pooled = nn.ModuleList(nn.Linear(pooled, count) for count in values)

    def forward(self, tokens: Tensor, pooled: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Logits (b, values) per attribute, from tokens (b, n, width) and from the pooled embedding (b, p)."""
        attention = torch.einsum("ad,bnd->ban", self.queries, tokens).softmax(dim=-1)
        read = torch.einsum("ban,bnd->abd", attention, tokens)
        return (
            [head(row) for head, row in zip(self.from_tokens, read, strict=True)],
            [head(pooled) for head in self.from_pooled],
        )


def attribute_losses(logits: tuple[list[Tensor], list[Tensor]], labels: Tensor) -> list[Tensor]:
    """The cross-entropy of each attribute that has a label in the batch, for both of the reader's outputs.

    `labels` is (b, attributes), -1 for none.
    """
    return [
        cross_entropy(values.float(), labels[:, k].to(values.device, non_blocking=True), ignore_index=-1)
        for heads in logits
        for k, values in enumerate(heads)
        if (labels[:, k] >= 0).any()
    ]


def sample_captions(rng: np.random.Generator, count: int) -> tuple[list[str], Tensor]:
    """`count` captions of random drawings and their labels (count, attributes). Half of them name all attributes."""
    drawings = [sample_drawing(rng) for _ in range(count)]
    captions = [caption(drawing, rng, keep=1.0 if rng.random() < 0.5 else 0.8) for drawing in drawings]
    return captions, torch.tensor([list(drawing.labels().values()) for drawing in drawings])


def tokenize(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Token ids (b, n), padded and truncated as SDXL's pipeline does."""
    ids: Tensor = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
    return ids


def train_text(encoders: nn.Module, encode: EncodeCaptions, widths: tuple[int, int], settings: Settings) -> Progress:
    """Train the encoders in place. The stage takes minutes and saves no state to resume from.

    `encode` gives their outputs for captions: tokens (b, n, d) and a pooled embedding (b, p). `widths` are d and p.
    """
    reader = AttributeReader(*widths, [len(values) for values in ATTRIBUTES.values()])
    model = nn.ModuleList([encoders, reader]).to(settings.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.lr, betas=(0.9, 0.99), fused=True)
    rng = np.random.default_rng([settings.seed, 1])
    progress = Progress()

    def save() -> None:
        if progress.losses:
            draw_curve(
                progress,
                settings.out / "images" / "text-loss.png",
                "text encoders: attributes from captions",
            )

    for fraction in budgeted_steps(progress, settings, "text", save):
        set_learning_rate([optimizer], learning_rate(fraction, progress.step, settings.lr, settings.warmup))
        captions, labels = sample_captions(rng, settings.batch)
        with precision.autocast(settings.device):
            read = reader(*encode(captions))
        loss = torch.stack(attribute_losses(read, labels)).sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        progress.record(loss / (2 * len(ATTRIBUTES)), settings.batch)
    encoders.eval()
    return progress
