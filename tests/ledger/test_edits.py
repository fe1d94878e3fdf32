"""The edit that a watermark names."""

from ledger import edits, projects
from ledger.database import UnitOfWork
from ledger.models import Edit, Project, Subject
from tests.support.rows import make_image


def test_a_mark_names_one_edit_of_the_own_project_or_none(
    begin: UnitOfWork, project: Project, subject: Subject
) -> None:
    ids = [f"edt_{digits}" for digits in ("00ab0000" + "f" * 24, "ffffffff" + "0" * 24, "ffffffff" + "1" * 24)]
    with begin() as session:
        image = make_image(session, project.id)
        drafts = [
            edits.draft(project.id, subject_id=subject.id, prior_id=None, image_id=image.id, target_prompts=["a dog"])
            for _ in ids
        ]
        for row, edit_id in zip(drafts, ids, strict=True):
            row.id = edit_id
        session.add_all(drafts)
        other = projects.create(session, "other")
    assert edits.mark_number(ids[0]) == 0xAB0000
    with begin() as session:
        assert isinstance(edits.get(session, project.id, ids[0]), Edit)
        found = [edits.find_marked(session, project.id, number) for number in (0xAB0000, 0xAB0001, 0xFFFFFFFF)]
        assert found == [ids[0], None, None]  # the last number is that of two edits
        assert edits.find_marked(session, other.id, 0xAB0000) is None
