"""How well do the miniatures see? ``python -m menagerie.vision_report --pictures 200 --seed S --json FILE``.

On fresh drawings, of subjects that nobody was trained on, through the code that loads public checkpoints:

- the captioner: how many captions name an attribute, and how many of these the drawn one;
- CLIP: whether a picture's own caption is the nearest of all, and of those of the same subject and scene in other
  actions; whether an edit goes (CLIP-D) where its own prompt points more than where another edit's does;
- DINOv2: whether a subject's other picture is nearer than any other subject's, and than any of three relatives'.
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
from menagerie.augment import ALIKE, alike_but_for_the_action
from menagerie.captions import edit_prompt, full_caption, told
from menagerie.draw import mask
from menagerie.experiment import picture
from menagerie.stages.dinov2 import anywhere, relatives
from menagerie.subjects import TOKEN, DrawnSubject, fresh
from menagerie.vision_models import CAPTIONER, CLIP, DINOV2

TARGET = 0.90


@dataclass(frozen=True)
class CaptionReport:
    """Shares in [0, 1]: of captions that name an attribute, of these that are right, and of all named attributes."""

    named: dict[str, float]
    agreement: dict[str, float]
    overall: float


@dataclass(frozen=True)
class Report:
    """Shares in [0, 1]."""

    captions: CaptionReport
    clip_own_of_all: float
    clip_own_of_four: float
    clip_direction: float
    dinov2_own_of_all: float
    dinov2_own_of_relatives: float


def caption_agreement(drawings: Sequence[Drawing], captions: Sequence[str]) -> CaptionReport:
    """Per attribute, how many captions name it, and how many of these name the drawn value and no other."""
    said = [told(caption) for caption in captions]
    named, agreement = {}, {}
    for name in ("pose", "head", "expression", "background"):
        right = [
            row[name] == {vars(drawing.action).get(name, drawing.scene.background)}
            for row, drawing in zip(said, drawings, strict=True)
            if name in row
        ]
        named[name] = len(right) / len(drawings)
        agreement[name] = float(np.mean(right)) if right else 0.0
    overall = sum(named[name] * agreement[name] for name in named) / (sum(named.values()) or 1.0)
    return CaptionReport(named, agreement, overall)


def describe(model: vlm.VisionLanguageModel, drawings: Sequence[Drawing]) -> list[str]:
    """What the captioner says of each drawing, asked as the service asks."""
    captioner = vlm.captioner(model)
    return [
        captioner([picture(drawing)], Subject(TOKEN, drawing.identity.class_noun))[0]
        for drawing in tqdm(drawings, desc="captions", mininterval=5)
    ]


def own_caption_first(clip: Clip, drawings: Sequence[Drawing], group: int) -> float:
    """The share of drawings whose own caption is the nearest of the captions of their group of neighbours."""
    images = normalize(clip.images([picture(drawing) for drawing in drawings]), dim=-1)
    texts = normalize(clip.texts([full_caption(drawing) for drawing in drawings]), dim=-1)
    pairs = zip(images.split(group), texts.split(group), strict=True)
    return _own_first([rows @ words.T for rows, words in pairs])


def own_direction_first(clip: Clip, subjects: Sequence[DrawnSubject]) -> float:
    """The share of true edits of one thing that go where their own prompt points, and not where the others' do."""
    similarities = []
    for drawn in subjects:
        edits = [edit for edit in drawn.edits if len(edit.changed) == 1]
        images = clip.images([picture(drawn.test), *(picture(edit.truth) for edit in edits)])
        texts = clip.texts([edit_prompt(drawing, TOKEN) for drawing in (drawn.test, *(e.truth for e in edits))])
        source, source_text, count = images[:1], texts[:1], len(edits)
        similarities.append(torch.stack([
            directional_similarity(
                image.expand(count, -1), source.expand(count, -1), texts[1:], source_text.expand(count, -1)
            )
            for image in images[1:]
        ]))  # fmt: skip
    return _own_first(similarities)


def own_subject_first(dinov2: ImageFeatures, pairs: Sequence[tuple[Drawing, Drawing]], group: int) -> float:
    """The share of subjects whose two pictures, cut to the subject, are nearest to each other in their group."""
    one, other = (normalize(dinov2([cut(drawing) for drawing in side]), dim=-1) for side in zip(*pairs, strict=True))
    return _own_first([a @ b.T for a, b in zip(one.split(group), other.split(group), strict=True)])


def cut(drawing: Drawing) -> Image.Image:
    """The drawn subject as the benchmark shows it to its judges."""
    return subject_crop(picture(drawing), Image.fromarray(mask(drawing)))


def _own_first(similarities: Sequence[Tensor]) -> float:
    """Of square matrices, the share of rows whose largest value is on the diagonal."""
    return float(torch.cat([rows.argmax(dim=1) == torch.arange(len(rows)) for rows in similarities]).float().mean())


def measure(count: int, seed: int, captioner: Path) -> Report:
    """Everything, on ``count`` drawings or subjects each."""
    rng = np.random.default_rng([seed, 11])  # training takes other streams
    drawings = [sample_drawing(rng) for _ in range(count)]
    acting = alike_but_for_the_action(rng, count - count % ALIKE)
    families = [(anywhere(rng, one), anywhere(rng, one)) for one in relatives(rng, len(acting))]
    subjects = list(fresh(count, seed))
    clip, dinov2 = load_clip(CLIP), load_dinov2(DINOV2)
    return Report(
        captions=caption_agreement(drawings, describe(vlm.load(captioner), drawings)),
        clip_own_of_all=own_caption_first(clip, drawings, count),
        clip_own_of_four=own_caption_first(clip, acting, ALIKE),
        clip_direction=own_direction_first(clip, subjects),
        dinov2_own_of_all=own_subject_first(dinov2, [(s.test, s.references[0]) for s in subjects], count),
        dinov2_own_of_relatives=own_subject_first(dinov2, families, ALIKE),
    )


def render_table(report: Report, count: int) -> str:
    """The figures for a terminal, each with its target or with chance."""
    said = report.captions
    lines = [f"{'caption':<14}{'named':>8}{'agrees':>8}"]
    lines += [f"{name:<14}{said.named[name]:>8.1%}{value:>8.1%}" for name, value in said.agreement.items()]
    lines += [f"{'all':<22}{said.overall:>8.1%}  (target {TARGET:.0%})", ""]
    for text, value, chance in (
        (f"CLIP: own caption of {count}", report.clip_own_of_all, 1 / count),
        ("CLIP: own caption of 4 actions", report.clip_own_of_four, 1 / ALIKE),
        ("CLIP-D: own prompt of 3 edits", report.clip_direction, 1 / 3),
        (f"DINOv2: own subject of {count}", report.dinov2_own_of_all, 1 / count),
        ("DINOv2: own subject of 4 relatives", report.dinov2_own_of_relatives, 1 / ALIKE),
    ):
        lines.append(f"{text:<36}{value:>8.1%}  (chance {chance:.1%})")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> Report:
    options = parse(argv)
    report = measure(options.pictures, options.seed, options.captioner)
    print(render_table(report, options.pictures))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(asdict(report), indent=2) + "\n")
    return report


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m menagerie.vision_report", description=__doc__)
    parser.add_argument("--pictures", type=int, default=200, help="how many drawings, and how many subjects")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--captioner", type=Path, default=CAPTIONER, help="a LLaVA's folder")
    parser.add_argument("--json", type=Path, help="where the figures go")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
