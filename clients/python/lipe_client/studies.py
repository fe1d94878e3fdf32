"""Operations on studies, in which people compare the results of systems. Raters answer in the studio."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from lipe_client.call import Call, Listing, create, filters, id_of, no_content, path_of, without_none
from lipe_client.models import Edit, EditSummary, Job, Study, StudyQuestion, StudyResults
from lipe_client.operations import list_operation, operation


class Studies:
    """The operations on studies."""

    @operation
    def create_study(
        self,
        name: str,
        *,
        systems: Mapping[str, Sequence[Edit | EditSummary | Job | str]] | None = None,
        items: Sequence[Mapping[str, Any]] | None = None,
        questions: Sequence[StudyQuestion] | None = None,
        attention_checks: int | None = None,
        repeats: int | None = None,
        questions_per_rater: int | None = None,
        max_raters: int | None = None,
        exclusion: Mapping[str, float] | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Study]:
        """Create a study of succeeded edits by the name of their system, or of `items` of uploaded images.

        `items` and `exclusion` have the fields of the contract. The link of raters is the studio's address with
        `#/rate/` and the `rater_token` of the study.
        """
        edits = {system: [_edit_id(one) for one in made] for system, made in systems.items()} if systems else None
        body = without_none(
            {
                "name": name,
                "systems": edits,
                "items": [dict(item) for item in items] if items is not None else None,
                "questions": list(questions) if questions is not None else None,
                "exclusion": dict(exclusion) if exclusion is not None else None,
                "attention_checks": attention_checks,
                "repeats": repeats,
                "questions_per_rater": questions_per_rater,
                "max_raters": max_raters,
            }
        )
        return create(path_of("studies"), Study.model_validate_json, body, idempotency_key=idempotency_key)

    @operation
    def study(self, study: Study | str) -> Call[Study]:
        """One study, with its counts."""
        return Call("GET", path_of("studies", study), Study.model_validate_json)

    @list_operation
    def studies(
        self, *, created_after: datetime | None = None, created_before: datetime | None = None
    ) -> Listing[Study]:
        """All studies, newest first."""
        return Listing(path_of("studies"), Study, filters(created_after=created_after, created_before=created_before))

    @operation
    def close_study(self, study: Study | str) -> Call[Study]:
        """Close a study for good: it takes no answers any more, and has results."""
        return Call("POST", path_of("studies", study, "close"), Study.model_validate_json)

    @operation
    def study_results(self, study: Study | str) -> Call[StudyResults]:
        """The results of a closed study."""
        return Call("GET", path_of("studies", study, "results"), StudyResults.model_validate_json)

    @operation
    def study_answers(self, study: Study | str) -> Call[str]:
        """All answers of a closed study as a table (CSV)."""
        return Call("GET", path_of("studies", study, "results.csv"), bytes.decode)

    @operation
    def delete_study(self, study: Study | str) -> Call[None]:
        """Erase a study with its answers. Its images and edits stay."""
        return Call("DELETE", path_of("studies", study), no_content)


def _edit_id(edit: Edit | EditSummary | Job | str) -> str:
    """The id of the edit, also from its job. Raises ValueError for a job of another kind."""
    if not isinstance(edit, Job):
        return id_of(edit)
    if edit.edit_id is None:
        raise ValueError(f"{edit.id} is no edit: give jobs of edits")
    return edit.edit_id
