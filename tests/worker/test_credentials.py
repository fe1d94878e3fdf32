"""The results of a job carry Content Credentials; without a signer, or if it fails, no unsigned result looks signed."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import SecretStr

from ledger.database import UnitOfWork
from ledger.models import Artefact, Job, Project, Subject
from ledger.models import Edit as EditRow
from ledger.models import Image as ImageRow
from ledger.settings import Settings
from ledger.states import State
from ledger.storage import Storage
from provenance.certificates import InvalidCertificates
from provenance.ingredient import archive
from provenance.reading import Credentials, Trust, read
from provenance.signing import Signer, SigningFailed
from provenance.visible_label import label_region
from tests.support import c2pa_reader
from tests.support.factories import current, edit, verified
from tests.support.running import run_job
from tests.support.signed_images import local_signer, noise, signed
from worker import credentials
from worker.context import WorkerContext
from worker.signer import result_signer

PROMPT = "a photo of sks dog jumping"


def test_each_result_says_what_was_done(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject, tmp_path: Path
) -> None:
    signer = local_signer(tmp_path / "signer")
    job = edit(begin, storage, project, subject, None, prompts=[PROMPT])
    with begin() as session:
        row = session.get_one(Job, job.id)
        row.parameters = row.parameters | {"include": ["uncomposited"]}
    run_job(replace(context, signer=signer), job.id)
    files = {file.role: file for file in verified(begin, storage, job)}
    found = {role: credentials_of(storage, file, signer) for role, file in files.items()}
    assert {role: one.is_own for role, one in found.items()} == {
        "image": True, "source_mask": False, "edit_mask": False, "uncomposited": True,
    }  # fmt: skip
    resolved, (_, edited) = current(begin, job).resolved, found["image"].actions
    assert found["image"].edit == {
        "edit_id": job.edit_id, "source_sha256": source_of(begin, job).sha256,
        "base_model_fingerprint": resolved["fingerprint"], "adapter_sha256": [], "method": "nima",
    }  # fmt: skip
    with Image.open(BytesIO(storage.get(files["edit_mask"].key, files["edit_mask"].sha256))) as mask:
        box = mask.getbbox()
    shown = [(one.left, one.top, one.left + one.width, one.top + one.height) for one in edited.regions]
    assert shown == [box]
    content = storage.get(files["image"].key, files["image"].sha256)
    assert c2pa_reader.verified(content).assertions["org.lipe.edit"] == found["image"].edit
    assert PROMPT.encode() not in content


def test_the_pixels_are_those_without_a_signature_and_the_prompt_is_stated_on_request(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject, tmp_path: Path
) -> None:
    signer, pixels = local_signer(tmp_path / "signer"), list[bytes]()
    for one in (None, signer):
        job = edit(begin, storage, project, subject, None, method="sdedit", prompts=[PROMPT])
        with begin() as session:
            row = session.get_one(Job, job.id)
            row.parameters = row.parameters | {"credentials_prompt": True}
        run_job(replace(context, signer=one), job.id)
        (image,) = [file for file in verified(begin, storage, job) if file.role == "image"]
        content = storage.get(image.key, image.sha256)
        with Image.open(BytesIO(content)) as opened:
            pixels.append(opened.tobytes())
        assert (PROMPT.encode() in content) == (one is not None)
    assert pixels[0] == pixels[1]


def test_the_credentials_of_the_upload_are_kept(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject, tmp_path: Path
) -> None:
    signer, camera = local_signer(tmp_path / "signer"), local_signer(tmp_path / "camera", "A camera maker")
    job = edit(begin, storage, project, subject, None, method="sdedit", prompts=[PROMPT])
    with begin() as session:
        session.merge(source_of(begin, job)).credentials = archive(signed(camera, noise()), "image/png")
    run_job(replace(context, signer=signer), job.id)
    (image,) = [file for file in verified(begin, storage, job) if file.role == "image"]
    assert credentials_of(storage, image, signer).is_own
    assert b"A camera maker" in storage.get(image.key, image.sha256)


def test_a_result_that_cannot_be_signed_is_not_stored(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def fail(message: bytes) -> bytes:
        raise SigningFailed("the key service is out")

    monkeypatch.setattr(credentials, "RETRY_SECONDS", (0,))
    job = edit(begin, storage, project, subject, None, method="sdedit", prompts=[PROMPT])
    run_job(replace(context, signer=Signer(local_signer(tmp_path / "signer").chain, fail)), job.id)
    failed = current(begin, job)
    assert (failed.state, failed.error_code) == (State.FAILED, "signing_failed")
    assert failed.error_detail == "the result cannot be signed: the key service is out"
    assert verified(begin, storage, job) == []


def test_settings_that_name_half_a_signer_are_refused(settings: Settings, tmp_path: Path) -> None:
    assert result_signer(settings) is None
    local_signer(tmp_path / "signer")
    for half, reason in (("key", "CHAIN_FILE is not set"), ("chain", "either")):
        named = {f"credentials_{half}_file": str(tmp_path / "signer" / f"{half}.pem")}
        with pytest.raises(InvalidCertificates, match=reason):
            result_signer(settings.model_copy(update=named))


def credentials_of(storage: Storage, file: Artefact, signer: Signer) -> Credentials:
    """The claims of the stored file."""
    return read(storage.get(file.key, file.sha256), file.content_type, Trust((signer.chain,)))


def source_of(begin: UnitOfWork, job: Job) -> ImageRow:
    """The image that the job edits."""
    with begin() as session:
        return session.get_one(ImageRow, session.get_one(EditRow, job.edit_id).image_id)


def test_a_published_result_is_marked_inside_the_mask_alone(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    marked = replace(context, settings=context.settings.model_copy(update={"watermark_key": SecretStr("a key")}))
    images = []
    for kind in ("archival", "published"):
        job = edit(begin, storage, project, subject, None, prompts=[PROMPT])
        with begin() as session:
            session.get_one(Project, project.id).result_kind = kind
        run_job(marked, job.id)
        assert current(begin, job).resolved["result_kind"] == kind
        images.append({file.role: opened(storage, file) for file in verified(begin, storage, job)})
    archival, published = images
    mask = np.asarray(published["edit_mask"]) >= 128
    changed = (np.asarray(archival["image"]) != np.asarray(published["image"])).any(axis=2)
    assert changed[mask].mean() > 0.3
    assert not changed[~mask].any()
    assert published["edit_mask"].tobytes() == archival["edit_mask"].tobytes()


def test_a_visible_label_is_in_published_results_alone_and_their_credentials_say_so(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject, tmp_path: Path
) -> None:
    signer, settings = local_signer(tmp_path / "signer"), context.settings
    signing = replace(context, signer=signer, settings=settings.model_copy(update={"watermark_key": SecretStr("key")}))
    with begin() as session:
        session.get_one(Project, project.id).visible_label = True
    found = {}
    variants: dict[str, dict[str, Any]] = {
        "archival": {},
        "labelled": {"result_kind": "published"},
        "plain": {"result_kind": "published", "visible_label": False},
    }
    for name, parameters in variants.items():
        job = edit(begin, storage, project, subject, None, method="sdedit", prompts=[PROMPT])
        with begin() as session:
            row = session.get_one(Job, job.id)
            row.parameters = row.parameters | parameters
        run_job(signing, job.id)
        (image,) = [file for file in verified(begin, storage, job) if file.role == "image"]
        found[name] = np.asarray(opened(storage, image)), credentials_of(storage, image, signer).actions
    pixels, actions = found["labelled"]
    assert [action.action for action in actions[2:]] == ["c2pa.watermarked.unbound", "c2pa.addedText"]
    (label,) = actions[3].regions
    assert label == label_region((pixels.shape[1], pixels.shape[0]))
    corner = np.zeros(pixels.shape[:2], bool)
    corner[label.top : label.top + label.height, label.left : label.left + label.width] = True
    changed = (pixels != found["plain"][0]).any(axis=2)
    assert changed[corner].mean() > 0.9
    assert not changed[~corner].any()
    assert [len(found[name][1]) for name in ("archival", "plain")] == [2, 3]
    assert not np.array_equal(found["archival"][0], pixels)
    assert (found["archival"][0][corner] != pixels[corner]).any(axis=1).mean() > 0.9


def test_a_published_result_needs_a_key(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    job = edit(begin, storage, project, subject, None, method="sdedit", prompts=[PROMPT])
    with begin() as session:
        row = session.get_one(Job, job.id)
        row.parameters = row.parameters | {"result_kind": "published"}
    run_job(context, job.id)
    failed = current(begin, job)
    assert (failed.error_code, "LIPE_WATERMARK_KEY" in (failed.error_detail or "")) == ("invalid_request", True)


def opened(storage: Storage, file: Artefact) -> Image.Image:
    """The stored image, decoded."""
    image = Image.open(BytesIO(storage.get(file.key, file.sha256)))
    image.load()
    return image
