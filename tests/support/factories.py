"""Rows with real objects: a subject with images, jobs that learn a prior or make an edit; and the state of a job."""

import io
from typing import Any

from PIL import Image

from ledger import artefacts, edits, events, images, jobs, priors, subjects
from ledger.database import UnitOfWork
from ledger.models import Artefact, Job, Project, Subject, new_id
from ledger.models import Image as ImageRow
from ledger.storage import Storage, StoredObject, image_prefix


def make_subject(begin: UnitOfWork, storage: Storage, project: Project) -> Subject:
    """A dog with three reference images, two of them with captions."""
    rows = [put_image(begin, storage, project, shade) for shade in (40, 120, 200)]
    with begin() as session:
        return subjects.create(
            session, project.id, name="Rex", class_noun="dog", token="sks", images=rows,
            captions=["a dog sitting", None, "a photo of sks dog jumping"],
        )  # fmt: skip


def put_image(
    begin: UnitOfWork, storage: Storage, project: Project, shade: int, size: tuple[int, int] = (64, 64)
) -> ImageRow:
    """A stored image; another content for each shade."""
    content = io.BytesIO()
    Image.linear_gradient("L").resize(size).point(lambda level: (level + shade) % 256).convert("RGB").save(
        content, "PNG"
    )
    image_id = new_id("img")
    stored = storage.put(image_prefix(project.id, image_id), "image.png", content.getvalue(), "image/png")
    with begin() as session:
        return images.add(session, project.id, image_id, stored, width=size[0], height=size[1])


def learn(begin: UnitOfWork, project: Project, subject: Subject, **config: Any) -> Job:
    """A queued job that learns a prior; `config` overrides the training settings."""
    parameters = {"prior": {"rank": 2, **config}, "regularization": {"count": 2, "steps": 2}}
    with begin() as session:
        prior = priors.create(session, project.id, subject.id)
        return jobs.submit(
            session, project.id, "prior", subject_id=subject.id, prior_id=prior.id, parameters=parameters
        )


def edit(
    begin: UnitOfWork,
    storage: Storage,
    project: Project,
    subject: Subject,
    prior_id: str | None,
    prompts: list[str] | None = None,
    method: str = "nima",
    **settings: Any,
) -> Job:
    """A queued edit job with a new image; `settings` are those of the method, by default a few steps."""
    image = put_image(begin, storage, project, 0)
    with begin() as session:
        row = edits.draft(
            project.id, subject_id=subject.id, prior_id=prior_id, image_id=image.id,
            target_prompts=prompts or ["a photo of sks dog jumping", "a photo of sks dog sitting"], method=method,
        )  # fmt: skip
        return jobs.submit(
            session, project.id, "edit", subject_id=subject.id, prior_id=prior_id, edit_id=row.id, related=[row],
            parameters={method: settings or {"steps": 3}, "seeds": [7]},
        )  # fmt: skip


def current(begin: UnitOfWork, job: Job) -> Job:
    """The job as the database has it."""
    with begin() as session:
        return session.get_one(Job, job.id)


def history(begin: UnitOfWork, job: Job) -> list[events.JobEvent]:
    """The job's changes of state."""
    with begin() as session:
        return events.after(session, job.project_id, job.id, 0)


def verified(begin: UnitOfWork, storage: Storage, job: Job) -> list[Artefact]:
    """The job's artefacts, each read back from the storage."""
    with begin() as session:
        made = artefacts.of_job(session, job.project_id, job.id)
    for artefact in made:
        assert storage.verify(StoredObject(artefact.key, artefact.size, artefact.sha256))
    return made
