"""Operations on subjects: create one from its references, delete it."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from lipe_client.call import Call, Listing, create, filters, id_of, no_content, path_of
from lipe_client.models import Category, Image, Subject
from lipe_client.operations import list_operation, operation


class Subjects:
    """The operations on subjects."""

    @operation
    def create_subject(
        self,
        *,
        name: str,
        class_noun: str,
        references: Sequence[Image | str],
        captions: Sequence[str | None] | None = None,
        token: str | None = None,
        category: Category | None = None,
        consent: bool = False,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Subject]:
        """Create a subject with 3 to 5 reference images. A subject that is a person needs `consent=True`.

        Prompts name the subject by `token` and `class_noun`. The default token is "sks", as in "sks dog".
        """
        body = {
            "name": name,
            "class_noun": class_noun,
            "references": [id_of(reference) for reference in references],
            "captions": list(captions) if captions is not None else None,
            "token": token,
            "category": category,
            "consent": consent,
            "metadata": metadata,
        }
        return create(path_of("subjects"), Subject.model_validate_json, body, idempotency_key=idempotency_key)

    @operation
    def subject(self, subject: Subject | str) -> Call[Subject]:
        """One subject."""
        return Call("GET", path_of("subjects", subject), Subject.model_validate_json)

    @list_operation
    def subjects(
        self,
        *,
        metadata: Mapping[str, str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> Listing[Subject]:
        """All subjects, newest first."""
        query = filters(metadata=metadata, created_after=created_after, created_before=created_before)
        return Listing(path_of("subjects"), Subject, query)

    @operation
    def delete_subject(self, subject: Subject | str) -> Call[None]:
        """Delete a subject and everything derived from it: priors, edits and their files."""
        return Call("DELETE", path_of("subjects", subject), no_content)
