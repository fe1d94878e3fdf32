"""The inputs of a new edit are found by the subject or by a prior, in the own project only."""

from ledger import edit_inputs, priors, projects
from ledger.database import UnitOfWork
from ledger.edit_inputs import EditInputs
from ledger.models import Project, Subject
from tests.support.rows import make_image


def test_the_newest_ready_prior_or_the_named_one(begin: UnitOfWork, project: Project, subject: Subject) -> None:
    with begin() as session:
        first, second, learning = (priors.create(session, project.id, subject.id) for _ in range(3))
        for prior in (second, first):  # the first is ready last
            priors.mark_ready(session, prior.id, manifest={}, adapter_key="key", adapter_sha256="0")
        image = make_image(session, project.id)

        def find(subject_id: str | None, prior_id: str | None) -> EditInputs:
            return edit_inputs.find(
                session, project.id, subject_id=subject_id, prior_id=prior_id, image_id=image.id, mask_image_id=image.id
            )

        by_subject, by_prior, unready = find(subject.id, None), find(None, second.id), find(None, learning.id)
    assert (by_subject.prior_id, by_prior.prior_id) == (first.id, second.id)
    assert by_subject[:3] == by_prior[:3] == (subject.id, "sks", "dog")
    assert by_prior[5:] == (64, 64, 64, 64, None, False, None)
    assert (unready.prior_id, unready.ready_at) == (learning.id, None)


def test_another_project_finds_nothing(begin: UnitOfWork, project: Project, subject: Subject) -> None:
    with begin() as session:
        prior = priors.create(session, project.id, subject.id)
        priors.mark_ready(session, prior.id, manifest={}, adapter_key="key", adapter_sha256="0")
        image = make_image(session, project.id)
        other = projects.create(session, "other")
        for subject_id, prior_id in ((subject.id, None), (None, prior.id)):
            inputs = edit_inputs.find(
                session, other.id, subject_id=subject_id, prior_id=prior_id, image_id=image.id, mask_image_id=image.id
            )
            assert inputs == (*[None] * 10, False, None)
