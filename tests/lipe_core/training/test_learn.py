from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from lipe_core.captioning.class_prompts import ClassPrompts, bank_prompts
from lipe_core.diffusion.ddim import OnStep
from lipe_core.errors import InvalidCaptions, InvalidSubject
from lipe_core.sdxl import BaseModel, is_in_vocabulary
from lipe_core.subject import Subject
from lipe_core.training.config import PriorConfig
from lipe_core.training.learn import LearnRequest, learn, prepare, train_prior
from lipe_core.training.regularization import RegularizationConfig
from lipe_core.training.train import TrainingRun

CONFIG = PriorConfig(steps=2, rank=2)
REGULARIZATION = RegularizationConfig(count=2, steps=2)
IMAGES = (Image.new("RGB", (64, 64), "red"), Image.new("RGB", (64, 64), "blue"))
REQUEST = LearnRequest(Subject("sks", "dog"), IMAGES, "animal")


class Stopped(Exception):
    pass


def test_the_manifest_records_texts_settings_and_losses(model: BaseModel) -> None:
    def captioner(images: Sequence[Image.Image], subject: Subject) -> list[str]:
        return ["a dog jumping"] * len(images)

    request = replace(REQUEST, captions=("a dog sitting", None), captioner=captioner, captioner_name="org/llava")
    manifest = learn(model, request, CONFIG, REGULARIZATION).manifest
    bank = bank_prompts("dog", 2, 0, "animal", lambda phrase: is_in_vocabulary(model, phrase))
    assert manifest.subject == request.subject
    assert manifest.captions == ("a sks dog sitting", "a sks dog jumping")
    assert (manifest.captioner, manifest.prompt_writer) == ("org/llava", None)
    assert manifest.class_prompts == bank.prompts
    assert manifest.config == {"prior": asdict(CONFIG), "regularization": asdict(REGULARIZATION)}
    assert (manifest.fingerprint, len(manifest.losses)) == (model.fingerprint, 2)
    assert "/" not in manifest.base_model  # a manifest does not show where the checkpoint is on this machine


def test_the_prompt_writer_is_used_and_the_bank_where_it_has_no_answer(model: BaseModel) -> None:
    def writer(class_noun: str, count: int) -> ClassPrompts:
        return ClassPrompts((f"a photo of a {class_noun}",) * count, "gpt")

    written = prepare(model, replace(REQUEST, prompt_writer=writer), CONFIG, REGULARIZATION)
    assert written.class_prompts == writer("dog", 2)
    assert written.regularization is not None
    assert written.regularization.captions == written.class_prompts.prompts
    silent = prepare(model, replace(REQUEST, prompt_writer=lambda class_noun, count: None), CONFIG, REGULARIZATION)
    assert silent.class_prompts == prepare(model, REQUEST, CONFIG, REGULARIZATION).class_prompts
    assert silent.class_prompts.writer is None


def test_without_preservation_no_image_of_the_class_is_generated(model: BaseModel) -> None:
    def refuse(class_noun: str, count: int) -> ClassPrompts:
        raise AssertionError("class prompts are not needed")

    config = replace(CONFIG, preservation_batch_size=0)
    prior = learn(model, replace(REQUEST, prompt_writer=refuse), config, REGULARIZATION)
    assert (prior.manifest.class_prompts, prior.manifest.prompt_writer) == ((), None)


def test_stages_come_in_order_with_their_progress(model: BaseModel, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []

    @contextmanager
    def stage(name: str) -> Iterator[OnStep]:
        seen.append((name, 0, 0))
        yield lambda step, steps: seen.append((name, step, steps))

    run = TrainingRun(on_step=lambda step, steps, loss: seen.append(("step", step, steps)))
    learn(model, REQUEST, CONFIG, REGULARIZATION, cache=tmp_path, stage=stage, run=run)
    assert seen == [
        ("captioning", 0, 0),
        ("regularizing", 0, 0),
        ("regularizing", 1, 2),
        ("regularizing", 2, 2),
        ("training", 0, 0),
        ("step", 1, 2),
        ("step", 2, 2),
    ]


def test_a_stopped_training_of_the_same_set_resumes(model: BaseModel, tmp_path: Path) -> None:
    def stop(step: int, steps: int, loss: float) -> None:
        raise Stopped

    training_set = prepare(model, REQUEST, CONFIG, REGULARIZATION)
    run = TrainingRun(checkpoint=tmp_path / "checkpoint.safetensors")
    with pytest.raises(Stopped):
        train_prior(model, training_set, replace(run, on_step=stop))
    resumed, whole = train_prior(model, training_set, run), train_prior(model, training_set)
    assert resumed.manifest == whole.manifest
    assert all(torch.equal(resumed.adapter[name], tensor) for name, tensor in whole.adapter.items())


def test_the_digest_changes_with_every_text_and_with_the_base_model(model: BaseModel) -> None:
    one = prepare(model, REQUEST, CONFIG, REGULARIZATION)
    captioned = prepare(model, replace(REQUEST, captions=("a dog sitting", None)), CONFIG, REGULARIZATION)
    fewer = prepare(model, REQUEST, CONFIG, replace(REGULARIZATION, count=1))
    digests = {each.digest(model) for each in (one, captioned, fewer)} | {one.digest(replace(model, fingerprint="0"))}
    assert len(digests) == 4
    assert one.digest(model) == prepare(model, REQUEST, CONFIG, REGULARIZATION).digest(model)


def test_a_token_that_the_base_model_cannot_read_is_refused_before_the_training(model: BaseModel) -> None:
    with pytest.raises(InvalidSubject, match="does not know 'ωψω'"):
        learn(model, replace(REQUEST, subject=Subject("ωψω", "dog")), CONFIG, REGULARIZATION)


def test_a_long_caption_of_the_user_is_refused_and_one_of_the_captioner_shortened(model: BaseModel) -> None:
    images = (Image.new("RGB", (64, 64), "red"),)
    long = "a photo of sks dog " + " ".join(["jumping"] * 80)
    with pytest.raises(InvalidCaptions, match=r"the caption .* tokens, and the base model reads \d+: shorten it"):
        prepare(model, LearnRequest(REQUEST.subject, images, "animal", (long,)), CONFIG, REGULARIZATION)
    request = LearnRequest(REQUEST.subject, images, "animal", captioner=lambda images, subject: [long])
    (caption,) = prepare(model, request, replace(CONFIG, preservation_batch_size=0), REGULARIZATION).captions
    assert caption == " ".join(long.split()[: model.tokenizers[0].model_max_length - 2])
