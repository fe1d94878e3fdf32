"""Does it work? Fresh subjects are learnt and edited, and the drawn truth judges: ``python -m menagerie.evaluate``.

Each subject is learnt from its references alone; edit prompts name token, class, action and scene, never what
identifies. Three runs share test pictures, prompts and seeds: NIMA, NIMA without masks, and NIMA on the untuned base.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from lipe_core import adapter, dataset, nima, regularization, sdxl, train
from lipe_core.editor import Edit, EditRequest
from lipe_core.subject import Sample, Subject
from menagerie.attributes import IDENTITY_ATTRIBUTES, sample_action, sample_identity, sample_scene, Drawing
from menagerie.captions import class_prompt, edit_prompt
from menagerie.draw import mask, render
from menagerie.models import CHECKPOINT
from menagerie.probe import Probe, load_probe
from menagerie.subjects import TOKEN, DrawnEdit, DrawnSubject, fresh

JUDGED_FROM = 0.95
RUNS = ("nima", "unmasked", "no_prior")


def picture(drawing: Drawing) -> Image.Image:
    return Image.fromarray(render(drawing))
