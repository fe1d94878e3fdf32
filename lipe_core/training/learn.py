"""From a subject's references to its prior: LIPE, section 3.2 (https://arxiv.org/abs/2406.17236).

captions -> encoded references; class prompts -> regularization set; both -> training -> prior with its manifest.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from PIL import Image

from lipe_core.adapters.prior import Manifest, Prior
from lipe_core.adapters.textual_inversion import token_tables
from lipe_core.backbone import BaseModel
from lipe_core.captioning.captions import Captioner, identity_set, plain_captions
from lipe_core.captioning.class_prompts import ClassPrompts, PromptWriter, bank_prompts
from lipe_core.diffusion.ddim import OnStep, no_progress
from lipe_core.errors import InvalidCaptions, InvalidParameters, PromptTooLong
from lipe_core.quantization import is_quantized
from lipe_core.subject import Category, Subject
from lipe_core.training.config import PriorConfig
from lipe_core.training.dataset import EncodedSet
from lipe_core.training.references import encode_references
from lipe_core.training.regularization import RegularizationConfig, SharedSets, regularization_set
from lipe_core.training.train import TrainingRun, train_adapter

StageContext = Callable[[str], AbstractContextManager[OnStep]]
"""Entered with the name of each stage: "captioning", "regularizing", "training". Yields the stage's `on_step`."""


@dataclass(frozen=True)
class LearnRequest:
    """A subject to learn from 3 to 5 reference images, and the sources of its texts.

    `captions` are the user's, one per reference or None; `captioner` writes the missing ones, and the manifest records
    its `captioner_name`. `prompt_writer` writes the class prompts; without one, or if it returns None, they come from
    the built-in bank.
    """

    subject: Subject
    references: tuple[Image.Image, ...]
    category: Category
    captions: tuple[str | None, ...] | None = None
    captioner: Captioner = plain_captions
    captioner_name: str | None = None
    prompt_writer: PromptWriter | None = None


@dataclass(frozen=True)
class TrainingSet:
    """Everything that a prior is trained on, with the settings and texts that its manifest records."""

    subject: Subject
    config: PriorConfig
    regularization_config: RegularizationConfig
    references: tuple[EncodedSet, ...]
    captions: tuple[str, ...]
    captioner_name: str | None
    regularization: EncodedSet | None
    class_prompts: ClassPrompts

    def digest(self, model: BaseModel) -> str:
        """A hash of the base model and of all texts: a checkpoint of another training set must not be resumed."""
        sets = self.references if self.regularization is None else (*self.references, self.regularization)
        content = [model.fingerprint, [encoded.captions for encoded in sets]]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]


@contextmanager
def no_stage(name: str) -> Iterator[OnStep]:
    """Ignore the stages and their progress."""
    yield no_progress


def learn(
    model: BaseModel,
    request: LearnRequest,
    config: PriorConfig = PriorConfig(),
    regularization: RegularizationConfig = RegularizationConfig(),
    *,
    cache: Path | None = None,
    stage: StageContext = no_stage,
    run: TrainingRun = TrainingRun(),
) -> Prior:
    """Learn the subject's prior: `prepare` the training set, then `train_prior`. Raises what both raise."""
    training_set = prepare(model, request, config, regularization, cache=cache, stage=stage)
    with stage("training"):
        return train_prior(model, training_set, run)


def prepare(
    model: BaseModel,
    request: LearnRequest,
    config: PriorConfig,
    regularization: RegularizationConfig,
    *,
    cache: Path | None = None,
    shared: SharedSets | None = None,
    stage: StageContext = no_stage,
) -> TrainingSet:
    """Caption and encode the references, and generate the regularization set if the config uses one.

    `cache` is a folder for regularization sets, and `shared` has those of other machines. Raises InvalidRequest for a
    setting that the base model lacks, InvalidCaptions, InvalidSubject, InvalidParameters, and the errors of the
    captioner, the prompt writer and `stage`.
    """
    _check_captions(model, request)
    _check_settings(model, config)
    with stage("captioning"):
        samples = identity_set(request.references, request.subject, request.captions, request.captioner)
        samples = [replace(sample, caption=model.shortened(sample.caption)) for sample in samples]
        references = encode_references(model, samples, request.subject, config)
    prompts, encoded = ClassPrompts(()), None
    if config.preservation_batch_size:
        with stage("regularizing") as on_step:
            prompts = _class_prompts(model, request, regularization)
            encoded = regularization_set(
                model, prompts.prompts, regularization, cache=cache, shared=shared, on_step=on_step
            )
    return TrainingSet(
        subject=request.subject,
        config=config,
        regularization_config=regularization,
        references=references,
        captions=tuple(sample.caption for sample in samples),
        captioner_name=request.captioner_name,
        regularization=encoded,
        class_prompts=prompts,
    )


def _check_settings(model: BaseModel, config: PriorConfig) -> None:
    """Refuse what the base model cannot train before the work of the class images."""
    if config.token_learning_rate:
        token_tables(model)
    if config.tuning == "full_attention" and is_quantized(model.network):
        raise InvalidParameters(
            "full attention cannot be trained in a base model of 8 bits: train a LoRA, or set LIPE_BASE_MODEL_BITS=16"
        )


def train_prior(model: BaseModel, training_set: TrainingSet, run: TrainingRun = TrainingRun()) -> Prior:
    """Train on the prepared set and return the prior with its manifest. Raises what `train_adapter` raises."""
    subject = training_set.subject
    result = train_adapter(
        model,
        training_set.references,
        training_set.regularization,
        training_set.config,
        token=subject.token,
        run=run,
    )
    manifest = Manifest(
        token=subject.token,
        class_noun=subject.class_noun,
        base_model=model.name,
        revision=model.revision,
        fingerprint=model.fingerprint,
        captions=training_set.captions,
        class_prompts=training_set.class_prompts.prompts,
        config={"prior": asdict(training_set.config), "regularization": asdict(training_set.regularization_config)},
        losses=result.losses,
        captioner=training_set.captioner_name,
        prompt_writer=training_set.class_prompts.writer,
    )
    return Prior(result.adapter, manifest)


def _check_captions(model: BaseModel, request: LearnRequest) -> None:
    """Raise InvalidCaptions for a caption of the user that is too long. Those of the captioner are shortened."""
    for caption in request.captions or ():
        try:
            model.require_length(caption or "")
        except PromptTooLong as error:
            raise InvalidCaptions(f"the caption {error}") from error


def _class_prompts(model: BaseModel, request: LearnRequest, config: RegularizationConfig) -> ClassPrompts:
    noun = request.subject.class_noun
    written = request.prompt_writer(noun, config.count) if request.prompt_writer else None
    is_known = model.is_in_vocabulary
    return written or bank_prompts(noun, config.count, config.seed, request.category, is_known)
