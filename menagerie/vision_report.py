"""Measure the miniature vision models: ``python -m menagerie.vision_report --images 200 --seed S --json FILE``.

The drawings and their subjects are not in the training data. The models are loaded by the code for public checkpoints:

- captioner: the share of captions that name an attribute, and of these the share that name the drawn value;
- CLIP: the share of images whose nearest caption is their own, among all captions and among those of the same subject
  and scene with other actions; the share of edits whose direction (CLIP-D) fits their own prompt best;
- DINOv2: the share of subjects whose second image is nearer than the images of all other subjects, or of three related
  subjects.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize
from tqdm import tqdm

from lipe_core.captioning import vlm
from lipe_core.metrics.crop import subject_crop
from lipe_core.metrics.features import Clip, ImageFeatures, load_clip, load_dinov2
from lipe_core.metrics.similarity import directional_similarity
from lipe_core.subject import Subject
from menagerie.attributes import Drawing, sample_drawing
from menagerie.captions import edit_prompt, full_caption, parse_caption
from menagerie.draw import mask
from menagerie.experiment import image_of
from menagerie.subjects import (
    GROUP_SIZE,
    TOKEN,
    DrawnSubject,
    action_variants,
    fresh,
    random_drawing,
    related_identities,
)
from menagerie.vision_models import CAPTIONER, CLIP, DINOV2

TARGET = 0.90


@dataclass(frozen=True)
class CaptionReport:
    """Shares in [0, 1]: per attribute, of captions that name it, and of these that are right; and right over all."""

    named: dict[str, float]
    agreement: dict[str, float]
    overall: float


@dataclass(frozen=True)
class Report:
    """The agreement of the captions, and the top-1 accuracies in [0, 1] of CLIP and DINOv2."""

    captions: CaptionReport
    clip_caption: float
    clip_action: float
    clip_direction: float
    dinov2_subject: float
    dinov2_related: float


def caption_agreement(drawings: Sequence[Drawing], captions: Sequence[str]) -> CaptionReport:
    """Per attribute, the share of captions that name it, and of these the share that name the drawn value alone."""
    parsed = [parse_caption(caption) for caption in captions]
    named, agreement = {}, {}
    for name in ("pose", "head", "expression", "background"):
        is_right = [
            row[name] == {vars(drawing.action).get(name, drawing.scene.background)}
            for row, drawing in zip(parsed, drawings, strict=True)
            if name in row
        ]
        named[name] = len(is_right) / len(drawings)
        agreement[name] = float(np.mean(is_right)) if is_right else 0.0
    overall = sum(named[name] * agreement[name] for name in named) / (sum(named.values()) or 1.0)
    return CaptionReport(named, agreement, overall)


def caption_drawings(model: vlm.VisionLanguageModel, drawings: Sequence[Drawing]) -> list[str]:
    """Caption each drawing, with the question of the service."""
    captioner = vlm.captioner(model)
    return [
        captioner([image_of(drawing)], Subject(TOKEN, drawing.identity.class_noun))[0]
        for drawing in tqdm(drawings, desc="captions", mininterval=5)
    ]


def caption_accuracy(clip: Clip, drawings: Sequence[Drawing], group: int) -> float:
    """The share of drawings whose nearest caption, among those of their group of `group` drawings, is their own."""
    images = normalize(clip.images([image_of(drawing) for drawing in drawings]), dim=-1)
    texts = normalize(clip.texts([full_caption(drawing) for drawing in drawings]), dim=-1)
    return _diagonal_accuracy(_group_similarities(images, texts, group))


def direction_accuracy(clip: Clip, subjects: Sequence[DrawnSubject]) -> float:
    """The share of true edits of one attribute whose CLIP direction is most similar to that of their own prompt."""
    similarities = []
    for drawn in subjects:
        edits = [edit for edit in drawn.edits if len(edit.changed) == 1]
        images = clip.images([image_of(drawn.test), *(image_of(edit.truth) for edit in edits)])
        texts = clip.texts([edit_prompt(drawing, TOKEN) for drawing in (drawn.test, *(e.truth for e in edits))])
        source, source_text, count = images[:1], texts[:1], len(edits)
        similarities.append(torch.stack([
            directional_similarity(
                image.expand(count, -1), source.expand(count, -1), texts[1:], source_text.expand(count, -1)
            )
            for image in images[1:]
        ]))  # fmt: skip
    return _diagonal_accuracy(similarities)


def subject_accuracy(dinov2: ImageFeatures, pairs: Sequence[tuple[Drawing, Drawing]], group: int) -> float:
    """The share of subjects whose two images, cropped to the subject, are nearest to each other in their group."""
    first, second = (
        normalize(dinov2([crop_to_subject(drawing) for drawing in side]), dim=-1) for side in zip(*pairs, strict=True)
    )
    return _diagonal_accuracy(_group_similarities(first, second, group))


def crop_to_subject(drawing: Drawing) -> Image.Image:
    """The image cropped to the subject, as the benchmark crops it for its judges."""
    return subject_crop(image_of(drawing), Image.fromarray(mask(drawing)))


def _group_similarities(first: Tensor, second: Tensor, group: int) -> list[Tensor]:
    """Similarity matrices (group, group) between the rows of each group, of (n, d) and (n, d)."""
    return [first[start : start + group] @ second[start : start + group].T for start in range(0, len(first), group)]


def _diagonal_accuracy(similarities: Sequence[Tensor]) -> float:
    """The share of rows, over all matrices, whose largest value is on the diagonal."""
    return float(torch.cat([rows.argmax(dim=1) == torch.arange(len(rows)) for rows in similarities]).float().mean())


def measure(count: int, seed: int, captioner: Path) -> Report:
    """Measure all models, each on `count` drawings or subjects."""
    rng = np.random.default_rng([seed, 11])  # training uses other streams
    drawings = [sample_drawing(rng) for _ in range(count)]
    variants = action_variants(rng, count - count % GROUP_SIZE)
    related = [(random_drawing(rng, one), random_drawing(rng, one)) for one in related_identities(rng, len(variants))]
    subjects = list(fresh(count, seed))
    clip, dinov2 = load_clip(CLIP), load_dinov2(DINOV2)
    return Report(
        captions=caption_agreement(drawings, caption_drawings(vlm.load(captioner), drawings)),
        clip_caption=caption_accuracy(clip, drawings, count),
        clip_action=caption_accuracy(clip, variants, GROUP_SIZE),
        clip_direction=direction_accuracy(clip, subjects),
        dinov2_subject=subject_accuracy(dinov2, [(s.test, s.references[0]) for s in subjects], count),
        dinov2_related=subject_accuracy(dinov2, related, GROUP_SIZE),
    )


def render_table(report: Report, count: int) -> str:
    """The figures as a text table, each with its target or with the accuracy of chance."""
    captions = report.captions
    lines = [f"{'caption':<14}{'named':>8}{'agrees':>8}"]
    lines += [f"{name:<14}{captions.named[name]:>8.1%}{value:>8.1%}" for name, value in captions.agreement.items()]
    lines += [f"{'all':<22}{captions.overall:>8.1%}  (target {TARGET:.0%})", ""]
    for text, value, chance in (
        (f"CLIP: caption among {count}", report.clip_caption, 1 / count),
        ("CLIP: caption among 4 actions", report.clip_action, 1 / GROUP_SIZE),
        ("CLIP-D: prompt among 3 edits", report.clip_direction, 1 / 3),
        (f"DINOv2: subject among {count}", report.dinov2_subject, 1 / count),
        ("DINOv2: subject among 4 related", report.dinov2_related, 1 / GROUP_SIZE),
    ):
        lines.append(f"{text:<36}{value:>8.1%}  (chance {chance:.1%})")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> Report:
    options = parse(argv)
    report = measure(options.images, options.seed, options.captioner)
    print(render_table(report, options.images))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(asdict(report), indent=2) + "\n")
    return report


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m menagerie.vision_report", description=__doc__)
    parser.add_argument("--images", type=int, default=200, help="number of drawings, and of subjects")
    parser.add_argument("--seed", type=int, default=1, help="seed of the drawings")
    parser.add_argument("--captioner", type=Path, default=CAPTIONER, help="folder of a LLaVA")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
